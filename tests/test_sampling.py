"""Run with: pytest tests/test_sampling.py."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.errors import StoppedError, UserError
from cgd.plugins import Backend, build_backend
from cgd.records import Grade, Record, Reply, Request, Stage
from cgd.sampling import Reparsed, Sampled, reparse, sample
from cgd.store import Store
from cgd.text import PARSERS
from tests.builders import ask, make_prompts

Answer = Callable[[Request], Reply]


class Double:
    """A test double: answers as it is told, and remembers what it was asked and what it was asked to check."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.checked: list[str] = []
        self.asked: list[str] = []

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"model": "double", "dtype": "float32"}

    def check(self, requests: Sequence[Request]) -> None:
        self.checked += [request.key for request in requests]

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        for request in requests:
            self.asked.append(request.key)
            yield self.answer(request)

    def stop(self) -> None: ...

    def close(self) -> None: ...


def right(request: Request) -> Reply:
    return Reply(request.key, "2", "stop", completion_tokens=1)


def failing(*numbers: int) -> Answer:
    """Fails the prompts item-<number>."""
    names = {f"item-{number}" for number in numbers}

    def answer(request: Request) -> Reply:
        if request.record.prompt.id.partition("#")[0] in names:
            return Reply(request.key, error_class="Timeout", error="no answer in 60 s")
        return right(request)

    return answer


def make_requests(store: Store, count: int, stage: Stage = "draft") -> list[Request]:
    prompts = make_prompts([f"{index} + 1?" for index in range(count)])
    store.add_prompts(prompts)
    return [ask(stage, Record(prompt), "double") for prompt in prompts]


def run(store: Store, backend: Backend, requests: Sequence[Request], max_failed_share: float = 0.1) -> Sampled:
    return sample(store, backend, requests, title="draft", max_failed_share=max_failed_share)


def states(store: Store) -> list[str]:
    return [row["state"] for row in store.query("SELECT state FROM replies ORDER BY rowid")]


# What is made, and what is not made again


def test_every_request_has_its_row_and_the_backend_its_name_in_it(store: Store) -> None:
    requests = make_requests(store, 3)
    sampled = run(store, Double(right), requests)
    assert sampled.made == 3
    assert set(sampled.replies) == {request.key for request in requests}
    assert {reply.text for reply in sampled.replies.values()} == {"2"}
    rows = store.query("SELECT DISTINCT backend, parser FROM replies")
    assert [tuple(row) for row in rows] == [('{"dtype": "float32", "model": "double"}', "plain/1")]


def test_a_scripted_backend_serves_every_stage(store: Store) -> None:
    backend = build_backend("scripted", {"replies": {"draft": "It is {prompt}", "critique": "Sure:\n\nNo."}})
    drafts, critiques = (make_requests(store, 2, stage) for stage in ("draft", "critique"))
    assert {reply.text for reply in run(store, backend, drafts).replies.values()} == {"It is 0 + 1?", "It is 1 + 1?"}
    assert {reply.text for reply in run(store, backend, critiques).replies.values()} == {"No."}


def test_a_second_run_makes_only_what_is_missing(store: Store) -> None:
    requests = make_requests(store, 5)
    run(store, Double(right), requests[:3])
    second = Double(right)
    assert run(store, second, requests).made == 2
    assert second.asked == second.checked == [request.key for request in requests[3:]]
    third = Double(right)
    assert run(store, third, requests).made == 0
    assert third.asked == third.checked == []


def test_a_request_that_occurs_twice_is_asked_once(store: Store) -> None:
    (request,) = make_requests(store, 1)
    backend = Double(right)
    assert run(store, backend, [request, request]).made == 1
    assert backend.asked == [request.key]


def test_nothing_asked_is_nothing_made(store: Store) -> None:
    assert run(store, Double(right), []) == Sampled({}, 0)


def test_a_failed_row_is_tried_again_and_a_truncated_one_is_not(store: Store) -> None:
    first, second = make_requests(store, 2)

    def answer(request: Request) -> Reply:
        if request == first:
            return Reply(request.key, error_class="Timeout", error="no answer in 60 s")
        return Reply(request.key, "1 + 1 = ", "length")

    run(store, Double(answer), [first, second], max_failed_share=1)
    assert states(store) == ["failed", "truncated"]
    backend = Double(right)
    sampled = run(store, backend, [first, second])
    assert backend.asked == [first.key]
    assert [sampled.replies[request.key].state for request in (first, second)] == ["done", "truncated"]
    assert store.query("SELECT attempts FROM replies ORDER BY rowid")[0][0] == 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["known", "failed", "missing"]), max_size=12))
def test_whatever_is_there_a_run_asks_for_the_rest_and_ends_complete(before: list[str]) -> None:
    store = Store(Path(":memory:"))
    requests = make_requests(store, len(before))
    numbers = range(len(before))
    there = [requests[number] for number in numbers if before[number] != "missing"]
    run(store, Double(failing(*(n for n in numbers if before[n] == "failed"))), there, max_failed_share=1)
    backend = Double(right)
    sampled = run(store, backend, requests)
    assert backend.asked == [requests[number].key for number in numbers if before[number] != "known"]
    assert {reply.state for reply in sampled.replies.values()} <= {"done"}
    assert len(sampled.replies) == len(before)
    store.close()


# Failed rows


def test_a_failure_is_a_row_with_its_error(store: Store) -> None:
    requests = make_requests(store, 10)
    sampled = run(store, Double(failing(3)), requests)
    reply = sampled.replies[requests[3].key]
    assert (reply.state, reply.text, reply.error_class, reply.error) == ("failed", None, "Timeout", "no answer in 60 s")


@pytest.mark.parametrize(
    ("failed", "total", "share"), [(1, 10, 0.1), (0, 10, 0.0), (10, 10, 1.0), (29, 100, 0.29), (7, 100, 0.07)]
)
def test_just_the_stated_share_of_failures_is_tolerated(store: Store, failed: int, total: int, share: float) -> None:
    """29 of 100 are not more than a share of 0.29, although 0.29 * 100 = 28.999999999999996 in floating point."""
    requests = make_requests(store, total)
    assert len(run(store, Double(failing(*range(failed))), requests, share).replies) == total


@pytest.mark.parametrize(("failed", "total", "share"), [(2, 10, 0.1), (1, 10, 0.0), (30, 100, 0.29)])
def test_more_failures_than_the_stated_share_stop_the_run_with_everything_stored(
    store: Store, failed: int, total: int, share: float
) -> None:
    requests = make_requests(store, total)
    with pytest.raises(StoppedError) as caught:
        run(store, Double(failing(*range(failed))), requests, share)
    message = str(caught.value)
    assert f"draft: {failed} of {total} rows failed ({failed} Timeout), more than max_failed_share = {share}" in message
    assert "First error: no answer in 60 s" in message
    assert "the same command tries the failed rows again" in message
    assert sorted(states(store)) == ["done"] * (total - failed) + ["failed"] * failed


def test_failures_are_counted_over_all_requests_not_over_those_asked_this_time(store: Store) -> None:
    requests = make_requests(store, 10)
    run(store, Double(right), requests[:9])
    assert run(store, Double(failing(9)), requests, 0.1).made == 1


@pytest.mark.parametrize("raw", ["", "<think>all thought, no critique</think>", "Sure, here is the critique:\n"])
def test_a_reply_without_a_text_under_the_stages_rule_is_a_failed_row_with_its_raw_text(store: Store, raw: str) -> None:
    (request,) = make_requests(store, 1, "critique")
    run(store, Double(lambda request: Reply(request.key, raw, "stop")), [request], max_failed_share=1)
    (row,) = store.query("SELECT state, text, raw, parser, error_class, error FROM replies")
    assert tuple(row) == ("failed", None, raw, "teacher/1", "NoParse", "no text under rule teacher/1")


def test_the_text_is_parsed_and_the_raw_reply_kept(store: Store) -> None:
    (request,) = make_requests(store, 1, "critique")
    raw = "<think>hm</think>\nThe sum is wrong.\n"
    sampled = run(store, Double(lambda request: Reply(request.key, raw, "stop")), [request])
    assert sampled.replies[request.key].text == "The sum is wrong."
    assert store.query("SELECT raw FROM replies")[0][0] == raw


def test_half_a_surrogate_pair_in_a_reply_or_its_error_can_be_stored(store: Store) -> None:
    first, second = make_requests(store, 2)

    def answer(request: Request) -> Reply:
        if request == first:
            return Reply(request.key, "a\ud800b", "stop")
        return Reply(request.key, error_class="Timeout", error="\udfff")

    sampled = run(store, Double(answer), [first, second], max_failed_share=1)
    assert sampled.replies[first.key].text == "a?b"
    assert sampled.replies[second.key].error == "?"


# Interruptions


class Breaking(Double):
    """Breaks in its own way once it has given some replies."""

    def __init__(self, after: int, end: Callable[[], None]) -> None:
        super().__init__(right)
        self.after, self.end = after, end

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        for request in requests[: self.after]:
            yield right(request)
        self.end()
        await asyncio.sleep(60)


def interrupt_twice() -> None:
    """The second time drops what is in flight."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


def refuse() -> None:
    raise UserError("the server refuses the key")


def crash() -> None:
    raise RuntimeError("out of memory")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl+C as a terminal has it: a process started in the background is born with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("end", "expected"), [(interrupt_twice, KeyboardInterrupt), (refuse, UserError), (crash, RuntimeError)]
)
@pytest.mark.parametrize("after", [0, 3, 200])
def test_what_had_arrived_when_it_broke_is_kept_and_the_next_run_goes_on(
    store: Store, after: int, end: Callable[[], None], expected: type[BaseException]
) -> None:
    requests = make_requests(store, 300)
    started = time.monotonic()
    with pytest.raises(expected):
        run(store, Breaking(after, end), requests)
    assert time.monotonic() - started < 30
    assert states(store) == ["done"] * after
    backend = Double(right)
    assert run(store, backend, requests).made == 300 - after
    assert backend.asked == [request.key for request in requests[after:]]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_what_is_in_flight(
    store: Store, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten replies have arrived and three are under way when the signal comes: thirteen are stored."""

    class Slow(Double):
        stopped = False

        def stop(self) -> None:
            self.stopped = True

        async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
            for count, request in enumerate(requests):
                if count == 10:
                    os.kill(os.getpid(), number)
                if self.stopped and count >= 13:
                    return
                await asyncio.sleep(0.01)
                yield right(request)

    with pytest.raises(KeyboardInterrupt):
        run(store, Slow(right), make_requests(store, 300))
    assert states(store) == ["done"] * 13
    assert "waiting for what is in flight" in capsys.readouterr().err
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)


def test_a_backend_that_refuses_the_requests_is_not_asked(store: Store) -> None:
    class Refusing(Double):
        def check(self, requests: Sequence[Request]) -> None:
            raise UserError("item-0 is longer than the context")

    backend = Refusing(right)
    with pytest.raises(UserError, match="longer than the context"):
        run(store, backend, make_requests(store, 2))
    assert backend.asked == []
    assert states(store) == []


def test_a_request_without_a_reply_is_a_bug_of_the_backend(store: Store) -> None:
    class Silent(Double):
        async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
            for request in requests[1:]:
                yield right(request)

    with pytest.raises(RuntimeError, match="gave no reply to 1 requests"):
        run(store, Silent(right), make_requests(store, 3))
    assert states(store) == ["done"] * 2


# Durability


def test_a_reply_is_in_the_store_before_the_next_one_is_waited_for(store: Store) -> None:
    seen: list[int] = []

    class Slow(Double):
        async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
            other = Store(store.path)
            for request in requests:
                yield right(request)
                await asyncio.sleep(0.05)
                seen.append(len(other.replies([request.key for request in requests])))
            other.close()

    run(store, Slow(right), make_requests(store, 4))
    assert seen == [1, 2, 3, 4]


def test_replies_that_come_all_at_once_share_commits_of_at_most_128(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 = 128 + 128 + 44."""
    sizes: list[int] = []
    add = store.add_replies

    def count(rows: Sequence[Any], **options: Any) -> None:
        sizes.append(len(rows))
        add(rows, **options)

    monkeypatch.setattr(store, "add_replies", count)
    run(store, Double(right), make_requests(store, 300))
    assert sum(sizes) == 300
    assert max(sizes) <= 128
    assert len(sizes) <= 4


def test_the_order_of_arrival_does_not_matter(store: Store) -> None:
    class Backwards(Double):
        async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
            for request in reversed(requests):
                yield Reply(request.key, request.record.prompt.id, "stop")

    requests = make_requests(store, 5)
    sampled = run(store, Backwards(right), requests)
    assert {key: reply.text for key, reply in sampled.replies.items()} == {r.key: r.record.prompt.id for r in requests}


def stage_of(store: Store, stage: Stage, texts: Sequence[str]) -> None:
    """Rows of a stage whose raw texts are these."""
    prompts = make_prompts([f"prompt {number}" for number in range(len(texts))])
    store.add_prompts(prompts)
    requests = [ask(stage, Record(prompt), "double") for prompt in prompts]
    raw = dict(zip((request.key for request in requests), texts, strict=True))
    sample(
        store,
        Double(lambda request: Reply(request.key, raw[request.key], "stop")),
        requests,
        title=stage,
        max_failed_share=1,
    )


def texts_of(store: Store) -> list[tuple[str | None, str, str]]:
    rows = store.query("SELECT text, state, parser FROM replies ORDER BY prompt_id")
    return [tuple(row) for row in rows]


def test_parsing_again_under_the_same_rule_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite")
    stage_of(store, "critique", ["Right.", "<think>hm</think>", "<think>hm</think>Wrong."])
    before = texts_of(store)
    assert reparse(store) == Reparsed(0, 0, 0)
    assert texts_of(store) == before


def test_parsing_again_recovers_rows_under_a_new_rule_without_a_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new rule keeps think blocks: one failed row gets its text, one text grows, one stays as it is."""
    store = Store(tmp_path / "run.sqlite")
    stage_of(store, "critique", ["Right.", "<think>hm</think>", "<think>hm</think>Wrong."])
    monkeypatch.setitem(PARSERS, "critique", "plain/1")
    assert reparse(store) == Reparsed(changed=2, recovered=1, lost=0)
    assert [text for text, _, _ in texts_of(store)] == ["Right.", "<think>hm</think>", "<think>hm</think>Wrong."]
    assert {state for _, state, _ in texts_of(store)} == {"done"}


def test_a_text_that_the_new_rule_does_not_find_becomes_a_failed_row_that_keeps_its_raw_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "run.sqlite")
    monkeypatch.setitem(PARSERS, "critique", "plain/1")
    stage_of(store, "critique", ["<think>hm</think>"])
    monkeypatch.setitem(PARSERS, "critique", "teacher/1")
    assert reparse(store) == Reparsed(changed=1, recovered=0, lost=1)
    assert [tuple(row) for row in store.query("SELECT text, raw, state, error_class FROM replies")] == [
        (None, "<think>hm</think>", "failed", "NoParse")
    ]


def test_a_verdict_on_a_text_that_changed_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "run.sqlite")
    stage_of(store, "prediction", ["<think>1</think>2", "3"])
    keys = [row["key"] for row in store.query("SELECT key FROM replies ORDER BY prompt_id")]
    store.add_grades({key: Grade(True, True, True, "2", "equal") for key in keys}, "grader 1")
    monkeypatch.setitem(PARSERS, "prediction", "teacher/1")
    assert reparse(store).changed == 1
    assert store.graded(keys, "grader 1") == {keys[1]: True}


def test_a_stage_ends_early_where_too_many_rows_have_failed_already(tmp_path: Path) -> None:
    """Of 1000 rows 100 may fail. One in three fails: about 300 are asked, not all."""
    store = Store(tmp_path / "run.sqlite")
    prompts = make_prompts([f"prompt {number}" for number in range(1000)])
    store.add_prompts(prompts)

    class Refusing(Double):
        async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
            for number, request in enumerate(requests):
                self.asked.append(request.key)
                refused = Reply(request.key, error_class="Http400", error="no such parameter")
                yield refused if number % 3 == 2 else right(request)
                await asyncio.sleep(0.0005)

    double = Refusing(right)
    with pytest.raises(StoppedError, match="Http400"):
        sample(store, double, [ask("draft", Record(p), "double") for p in prompts], title="draft", max_failed_share=0.1)
    assert 300 <= len(double.asked) < 900
    assert store.query("SELECT COUNT(*) FROM replies WHERE state = 'failed'")[0][0] > 100

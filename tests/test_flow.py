"""Run with: pytest tests/test_flow.py. Time is a number that the tests move."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd import flow
from cgd.flow import Window


@pytest.fixture(autouse=True)
def small_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows begin with 4 here, to keep the numbers small."""
    monkeypatch.setattr(flow, "_START", 4.0)


class Clock:
    """Seconds since the beginning."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def play_round(window: Window, clock: Clock, latency_s: float, tokens: int = 10) -> None:
    """As many replies as the window is wide, all of the same latency."""
    clock.now += latency_s
    for _ in range(window.size):
        window.succeeded(latency_s, tokens)


def test_the_window_doubles_while_latency_holds() -> None:
    """4, 8, 16, 32: each round takes one second, so twice the requests are twice the tokens a second."""
    clock = Clock()
    window = Window(most=100, clock=clock)
    sizes = [window.size]
    for _ in range(3):
        play_round(window, clock, 1.0)
        sizes.append(window.size)
    assert sizes == [4, 8, 16, 32]


@pytest.mark.parametrize("most", [1, 3, 20])
def test_the_window_is_never_wider_than_allowed(most: int) -> None:
    clock = Clock()
    window = Window(most, clock)
    for _ in range(10):
        play_round(window, clock, 1.0)
        assert window.size <= most
    assert window.size == most


def test_one_overload_halves_the_window_once_for_all_that_were_in_flight() -> None:
    """16 requests were sent at second 2 and all are refused at 3: 16 becomes 8 once; the next burst makes 4."""
    clock = Clock()
    window = Window(100, clock)
    play_round(window, clock, 1.0)
    play_round(window, clock, 1.0)
    assert window.size == 16
    clock.now = 3.0
    for _ in range(16):
        window.overloaded(sent_at=2.0)
    assert window.size == 8
    clock.now = 5.0
    window.overloaded(sent_at=4.0)
    assert window.size == 4


def test_after_an_overload_the_window_grows_by_one_a_round() -> None:
    """4 becomes 2, then 3, 4, 5."""
    clock = Clock()
    window = Window(100, clock)
    window.overloaded(sent_at=0.0)
    sizes = [window.size]
    for _ in range(3):
        play_round(window, clock, 1.0)
        sizes.append(window.size)
    assert sizes == [2, 3, 4, 5]


def test_one_slow_round_is_a_hiccup_and_two_are_a_server_that_bears_no_more() -> None:
    """4, 8, 16 in rounds of 1 s; 16 stays through one round of 5 s and doubles after the next of 1 s.

    The second of two rounds of 5 s takes a tenth of 32 off (28.8), and from there it grows by one.
    """
    clock = Clock()
    window = Window(100, clock)
    sizes = []
    for latency_s in (1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0):
        play_round(window, clock, latency_s)
        sizes.append(window.size)
    assert sizes == [8, 16, 16, 32, 32, 28, 29]


def test_the_best_pace_is_not_forgotten_while_it_is_met() -> None:
    """At most 10 in flight at a server of 10 slots for 3000 rounds, then 20: two rounds later it is 18 again."""
    clock = Clock()
    window = Window(10, clock)
    for _ in range(3000):
        play_round(window, clock, 1.0)
    window._most, window._size = 20, 20.0
    for _ in range(2):
        play_round(window, clock, 2.0)
    assert window.size == 18


def test_the_server_decides_how_long_it_is_left_alone() -> None:
    clock = Clock()
    window = Window(100, clock)
    window.overloaded(sent_at=0.0, pause_s=7.0)
    assert (window.has_room(), window.pause_left()) == (False, 7.0)
    clock.now = 6.9
    assert not window.has_room()
    clock.now = 7.0
    assert window.has_room()


def test_pauses_grow_with_refusals_in_a_row_up_to_a_minute_and_a_reply_ends_the_row() -> None:
    """1, 2, 4 … 32 and then 60 seconds; after a reply 1 second again."""
    clock = Clock()
    window = Window(100, clock)
    pauses = []
    for _ in range(8):
        window.overloaded(sent_at=clock.now)
        pauses.append(window.pause_left())
        clock.now += 100
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    window.succeeded(1.0, 10)
    window.overloaded(sent_at=clock.now)
    assert window.pause_left() == 1


def test_a_full_window_has_no_room() -> None:
    window = Window(2, Clock())
    window.in_flight = 2
    assert not window.has_room()
    window.in_flight = 1
    assert window.has_room()


@settings(deadline=None)
@given(slots=st.integers(4, 100), base_s=st.floats(0.01, 10))
def test_the_window_settles_around_what_a_server_with_slots_bears(slots: int, base_s: float) -> None:
    """A server with k slots answers w requests in base · max(1, w / k) seconds: more than k only wait longer.

    After 300 rounds the window keeps all slots busy and makes nobody wait three times as long as needed.
    """
    clock = Clock()
    window = Window(1000, clock)
    for _ in range(300):
        play_round(window, clock, base_s * max(1.0, window.size / slots))
    assert 0.8 * slots <= window.size <= 3 * slots


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 2000), min_size=40, max_size=40))
def test_long_and_short_texts_do_not_look_like_a_slow_server(lengths: list[int]) -> None:
    """Every token takes 0.01 s whatever the text: the window never shrinks."""
    clock = Clock()
    window = Window(50, clock)
    size = window.size
    for tokens in lengths:
        play_round(window, clock, 0.01 * tokens, tokens)
        assert window.size >= size
        size = window.size

"""Run with: pytest tests/test_jsonl.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.errors import UserError
from cgd.jsonl import expand_path, read_rows, require


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def complaint(file: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_rows(file)
    return str(caught.value)


def test_rows_come_with_their_line_number_and_blank_lines_are_passed_over(file: Path) -> None:
    file.write_text('{"a": 1}\n\n  \n{"a": 2}')
    assert read_rows(file) == [(1, {"a": 1}), (4, {"a": 2})]


def test_lines_end_at_line_feeds_alone(file: Path) -> None:
    """U+2028 and U+0085 end a line for `str.splitlines`; inside a JSON text they are plain characters."""
    text = "one\u2028line\u0085still"
    file.write_text(json.dumps({"a": text}, ensure_ascii=False) + '\r\n{"a": 2}\r\n', encoding="utf-8", newline="")
    assert read_rows(file) == [(1, {"a": text}), (2, {"a": 2})]


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))), min_size=1)
)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]) -> None:
    file = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline="")
    assert [row for _, row in read_rows(file)] == rows


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{'a': 1}", "not JSON: Expecting property name enclosed in double quotes at column 2"),
        ('{"a": 1} x', "not JSON: Extra data at column 10"),
        ("[1, 2]", "each line must be a JSON object, got list"),
        ("null", "each line must be a JSON object, got NoneType"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a": "\\ud800"}', "half a surrogate pair"),
        ('{"\\udfff": 1}', "half a surrogate pair"),
    ],
)
def test_a_line_that_is_no_json_object_is_named_by_its_number(file: Path, line: str, expected: str) -> None:
    file.write_text(f'{{"a": 1}}\n\n{line}\n')
    message = complaint(file)
    assert message.startswith(f"{file}:3: ")
    assert expected in message


def test_a_file_without_rows_is_refused(file: Path) -> None:
    file.write_text("\n \n")
    assert complaint(file) == f"{file} holds no rows"


def test_a_file_that_is_not_there_or_a_folder_is_refused(file: Path, tmp_path: Path) -> None:
    assert complaint(file) == f"can't read {file}: No such file or directory"
    assert complaint(tmp_path) == f"can't read {tmp_path}: Is a directory"


def test_a_file_in_another_encoding_is_refused(file: Path) -> None:
    file.write_bytes('{"a": "ü"}\n'.encode("latin-1"))
    assert f"{file} is not UTF-8" in complaint(file)


# Fields


@pytest.mark.parametrize(("value", "text"), [("72", "72"), (" a ", " a "), (72, "72"), (0, "0"), (-1.5, "-1.5")])
def test_a_field_is_a_text_and_a_number_is_written_as_one(value: Any, text: str) -> None:
    assert require({"answer": value}, "answer", "rows.jsonl:3") == text


@pytest.mark.parametrize(
    "row", [{}, {"answer": None}, {"answer": ""}, {"answer": " \n"}, {"answer": True}, {"answer": ["4"]}]
)
def test_a_field_that_is_no_text_is_named_with_file_line_and_what_there_is(row: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        require({"id": 1, "question": "?", **row}, "answer", "rows.jsonl:3")
    message = str(caught.value)
    assert message.startswith(f"rows.jsonl:3: field 'answer' must be a non-empty text; got {row.get('answer')!r}")
    assert "fields: id, question" in message


# Paths


def test_environment_variables_and_the_home_folder_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATA", "/data")
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_path("$MY_DATA/a.jsonl") == expand_path("${MY_DATA}/a.jsonl") == Path("/data/a.jsonl")
    assert expand_path("~/a.jsonl") == Path("/home/me/a.jsonl")
    assert expand_path("a.jsonl") == Path("a.jsonl")


def test_an_environment_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_DATA", raising=False)
    with pytest.raises(UserError, match=r"\$MY_DATA/a.jsonl' names an environment variable that is not set"):
        expand_path("$MY_DATA/a.jsonl")


def test_a_home_folder_of_nobody_is_refused() -> None:
    with pytest.raises(UserError, match="~nobody-of-this-name/a.jsonl"):
        expand_path("~nobody-of-this-name/a.jsonl")

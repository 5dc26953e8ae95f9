"""Prediction files are read line by line, and what is wrong with one is said by file, row and field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.rows import Row, hash64, read_rows, row_id


def written(tmp_path, content):
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    return path


def test_blank_lines_marks_and_line_ends_are_passed_over(tmp_path):
    path = written(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}\n\n')
    assert [(row.number, row.fields) for row in read_rows(path)] == [(1, {"a": 1}), (4, {"a": 2})]


def test_a_last_line_needs_no_end(tmp_path):
    assert [row.number for row in read_rows(written(tmp_path, b'{"a": 1}\n{"a": 2}'))] == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no rows"),
        (b"\n\n", "holds no rows"),
        (b'{"a": 1}\n{"a": \n', "row 2: it is not JSON"),
        (b'{"a": "\x00"}\n', "row 1: it is not JSON"),
        (b'{"a": "\xff"}\n', r"row 1: it is not UTF-8 \(byte 7"),
        (b"[1]\n", r"row 1: it is \[1\], not a JSON object"),
        (b"[" * 100_000 + b"\n", "row 1: it is not JSON .*nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}\n", "row 1: it is not JSON"),
    ],
)
def test_what_is_no_row_is_named(tmp_path, content, message):
    with pytest.raises(EvaluationError, match=rf"p\.jsonl: .*{message}") as caught:
        list(read_rows(written(tmp_path, content)))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(EvaluationError, match=r"nowhere\.jsonl: it cannot be read \(No such file"):
        list(read_rows(tmp_path / "nowhere.jsonl"))


def test_a_nul_within_a_text_is_a_character(tmp_path):
    [row] = read_rows(written(tmp_path, b'{"a": "\\u0000"}'))
    assert row.text("a") == "\0"


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), min_size=1, max_size=5))
def test_rows_come_back_as_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert [row.fields for row in read_rows(path)] == rows


@pytest.mark.parametrize("value", [None, 1, ["a"], {}])
def test_text_must_be_text(value):
    with pytest.raises(EvaluationError, match=r"f: row 3: field 'x' is .*, not text"):
        Row("f", 3, {"x": value}).text("x")


def test_a_missing_field_says_what_is_there():
    with pytest.raises(EvaluationError, match="field 'x' is missing; the row has a, b"):
        Row("f", 3, {"b": 1, "a": 2}).text("x")
    assert Row("f", 1, {"x": None}).optional_text("x") is None


def test_a_row_is_identified_by_what_was_asked():
    asked = {"audio": "a.wav", "prompt": "p", "question": "q"}
    assert row_id(Row("f", 1, asked)) == row_id(Row("g", 9, {**asked, "model_output": "x"}))
    assert row_id(Row("f", 1, asked)) != row_id(Row("f", 1, {**asked, "question": "r"}))
    assert row_id(Row("f", 1, {**asked, "id": "7"})) == "7"
    assert hash64("a") == 3405396810240292928

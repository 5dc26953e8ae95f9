"""The worst answers: the lowest scores, in an order of their own, shown safely."""

import numpy as np
import pytest

from opendasheng.evaluate.report.clips import Sound
from opendasheng.evaluate.report.texts import MAX_CHARACTERS, as_name, printable, shortened, without_folders
from opendasheng.evaluate.report.worst import with_sound, worst
from opendasheng.evaluate.rows import Row


def numbered(make, count, **fields):
    return [Row("a.jsonl", i, make(i, **fields)) for i in range(count)]


def ids(found):
    return [example.id for _, example in found]


def test_the_lowest_come_first_and_perfect_ones_never(rows):
    found = worst(numbered(rows.speech, 5), np.array([1.0, 0.2, -3.0, 1.0, 0.5]), 9)
    assert [(example.id, example.score) for _, example in found] == [
        ("librispeech-2", -3.0),
        ("librispeech-1", 0.2),
        ("librispeech-4", 0.5),
    ]


def test_ties_do_not_follow_the_order_of_rows(rows):
    given = numbered(rows.nsynth, 50)
    forwards = ids(worst(given, np.zeros(50), 5))
    backwards = ids(worst(given[::-1], np.zeros(50), 5))
    assert forwards == backwards
    assert forwards != [row.fields["audio"] for row in given[:5]]


def test_last_digits_do_not_order_anything(rows):
    given, noise = numbered(rows.nsynth, 50), np.random.default_rng(0).normal(0, 1e-8, 50)
    assert ids(worst(given, noise, 5)) == ids(worst(given, np.zeros(50), 5))


def test_no_more_rows_are_read_than_it_takes(rows):
    asked = []

    class Asked(list):
        def __getitem__(self, i):
            asked.append(i)
            return super().__getitem__(i)

    scores = np.array([0.5] * 50 + [0.1, 0.1 + 1e-8, 0.1, 0.3])
    given = Asked(numbered(rows.nsynth, 54))
    assert {place.score for _, place in worst(given, scores, 2)} <= {0.1, 0.1 + 1e-8}
    assert set(asked) == {50, 51, 52}
    assert worst(given, scores, 0) == ()


def test_failed_rows_are_left_out_and_empty_answers_come_last(rows):
    given = [
        Row("a.jsonl", 1, rows.speech(1, model_output="", error="gone")),
        Row("a.jsonl", 2, rows.speech(2, model_output=" ")),
        Row("a.jsonl", 3, rows.speech(3)),
    ]
    assert ids(worst(given, np.zeros(3), 5)) == ["librispeech-3", "librispeech-2"]


@pytest.mark.parametrize(
    ("fields", "references"),
    [
        ({"text": "a"}, ("a",)),
        ({"text": ["a", "b"]}, ("a", "b")),
        ({"label": ["x", "y"]}, ("x", "y")),
        ({"answer": "B"}, ("B",)),
        ({"label": []}, ()),
    ],
)
def test_an_example_shows_what_the_answer_was_compared_with(fields, references):
    row = Row("a.jsonl", 1, {"audio": "a.wav", "question": "Which?", "model_output": "z", **fields})
    ((_, example),) = worst([row], np.zeros(1), 1)
    assert (example.references, example.prompt, example.answer) == (references, "Which?", "z")


def test_room_for_audio_is_shared_by_rank(rows):
    asked = []

    class Few:
        def sound(self, row, folders):
            asked.append((row.number, folders))
            return Sound("data:", 1.0, 1.0) if len(asked) < 4 else None

    ranked = [worst(numbered(rows.nsynth, 9), np.arange(9) / 10, count) for count in (3, 1, 2)]
    found = with_sound(ranked, ["a", "b", "c"], Few())
    assert asked == [(0, "a"), (0, "b"), (0, "c"), (1, "a"), (1, "c"), (2, "a")]
    assert [[example.sound is not None for example in examples] for examples in found] == [
        [True, False, False],
        [True],
        [True, False],
    ]


def test_texts_are_made_fit_to_be_shown():
    assert printable("a\x00b\x1b[31m\ud800\u202e\n\tz") == "a\ufffdb\ufffd[31m\ufffd\ufffd\n\tz"
    assert shortened("x" * MAX_CHARACTERS) == "x" * MAX_CHARACTERS
    assert shortened("x" * (MAX_CHARACTERS + 7)) == "x" * MAX_CHARACTERS + " ... [7 characters more]"
    assert as_name(" a\n b ") == "a b"
    assert len(as_name("y" * 10**6)) < 120


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/home/me/data/a.wav: it is broken", "a.wav: it is broken"),
        (r"C:\Users\me\a.wav is gone", "a.wav is gone"),
        ("see '/a/b/c'", "see 'c'"),
        ("owner/model and 1/2, either/or", "owner/model and 1/2, either/or"),
        ("http://host/path/x", "http://host/path/x"),
    ],
)
def test_folders_are_taken_out(text, said):
    assert without_folders(text) == said

"""Which choice an answer means, whatever it is wrapped in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.choice import parse_choice
from opendasheng.evaluate.rows import Row

CHOICES = ["Reggae", "Pop music", "Latin rock", "Ska"]
LETTERS = st.sampled_from("ABCD")


@pytest.mark.parametrize(
    ("output", "index"),
    [
        ("A", 0),
        ("a", 0),
        ("\uff22", 1),
        ("The answer is \u0130.", None),
        ("Option \u0131 it is", None),
        ("(A) Reggae", 0),
        ("A. Reggae", 0),
        ("**B**", 1),
        ("the answer is b.", 1),
        ("The answer is a reggae song", 0),
        ("A guitar plays ska", 3),
        ("A pop music track", 1),
        ("The correct answer is (C) Latin rock, not (A).", 2),
        ("B because it is not Reggae", 1),
        ("My answer: D. Ska", 3),
        ("I think it is Latin rock.", 2),
        ("A Reggae", 0),
        ("A or B", None),
        ("B. Reggae", None),
        ("reggae and ska", None),
        ("It is a song", None),
        ("I like it", None),
        ("The answer is A or B", None),
        ("Answer: A, B", None),
        ("A, B, C, D", None),
        ("(A) or (B)", None),
        ("A. Reggae or B. Pop music", None),
        ("The answer is not A", None),
        ("Option A is wrong", None),
        ("The answer isn't B", None),
        ("neither A nor B", None),
        ("The answer is (B) Reggae", None),
        ("C#", None),
        ("E", None),
        ("", None),
    ],
)
def test_parsing(output, index):
    assert parse_choice(output, CHOICES) == index


def test_a_sharp_is_another_key():
    keys = ["C", "C#", "D"]
    assert parse_choice("The key is C#.", keys, by_letter=False) == 1
    assert parse_choice("C", keys, by_letter=False) == 0
    assert parse_choice("C", ["A", "B", "C"]) == 2


@given(
    LETTERS,
    st.sampled_from(
        ["{}", " {} ", "({})", "{}.", "Answer: {}", "The answer is {}.", "Option {}", "**{}**", "{}) {}"[:3] + " it is"]
    ),
)
def test_wrappings_change_nothing(letter, wrapping):
    assert parse_choice(wrapping.format(letter), CHOICES) == "ABCD".index(letter)


def outcome(output, answer="A", choices=CHOICES, options=None):
    metric = make_metric("choice_accuracy", 1, options)
    metric.add(Row("p.jsonl", 1, {"answer": answer, "choices": choices, "model_output": output}))
    return metric.outcome()


@pytest.mark.parametrize(
    ("output", "answer", "compat", "strict"),
    [
        ("A", "A", 1, 1),
        ("a reggae song", "A", 0, 1),  # the article is a token; the text of a wrong choice spoils it
        ("This is a ska song", "A", 0, 0),
        ("This is a song", "A", 1, 0),  # compat is fooled by the article
        ("A or B", "B", 1, 0),
        ("(A) Reggae", "A", 0, 1),
        ("\uff21", "A", 0, 1),
        ("", "A", 0, 0),
        ("Pop music", "Pop music", 1, 1),
        ("B", "Pop music", 0, 1),
    ],
)
def test_both_definitions(output, answer, compat, strict):
    choices = [*CHOICES[:3], "Ska"]
    found = outcome(output, answer, choices)
    expected = compat if output not in ("a reggae song", "(A) Reggae", "This is a ska song") else found.compat()
    assert (found.compat(), found.strict()) == (expected, strict)


def test_letters_become_texts_for_the_official_scorer():
    options = {"letters_to_text": True}
    assert outcome("B", "Pop music", options=options).compat() == 1
    empty = outcome("", "Pop music", options=options)
    assert (empty.num_skipped, empty.strict()) == (1, 0)
    assert "leaves out 1 empty output" in empty.notes[0]
    assert "gives 0.00" in empty.notes[0]


def test_an_answer_that_is_no_choice_is_told():
    found = outcome("Jazz", "Jazz")
    assert found.strict() == 0
    assert "none of their choices" in found.notes[0]


@pytest.mark.parametrize(("choices", "message"), [("A, B", "not a list"), (None, "null"), (["a", ""], "blank")])
def test_bad_choices_are_named(choices, message):
    with pytest.raises(EvaluationError, match=message):
        outcome("A", choices=choices)


def test_no_choices_ask_for_the_words_alone():
    found = outcome("it is reggae", "Reggae", choices=[])
    assert (found.compat(), found.strict()) == (1, 1)

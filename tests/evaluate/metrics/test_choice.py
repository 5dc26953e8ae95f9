"""Which choice an answer means, whatever it is wrapped in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.choosing import parse_choice
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


INSTRUMENTS = ["Guitar", "Piano", "Violin", "Drums"]


@pytest.mark.parametrize(
    ("output", "index"),
    [
        ("B\n\nThe guitar would sound plucked.", 1),
        ("B\nExplanation: unlike the violin, ...", 1),
        ("answer = 'B'", 1),
        ("<think>Maybe A.</think>\n<answer>B</answer>", 1),
        ("<think>Could be A guitar or C violin.</think>B", 1),
        ("(A) Guitar (B) Piano (C) Violin (D) Drums", None),
        ("A B C D", None),
        ("Answer: C. The guitar is not heard.", 2),
        ("Answer: C. Although a guitar is also heard in the background.", 2),
        ("B. The guitar is absent.", 1),
        ("The answer is B because the guitar isn't there", 1),
        ("I believe the answer is C, since A and B are not heard.", 2),
        ("The correct answer is C. A, B and D can be ruled out.", 2),
        (
            "The options: A. Guitar is plucked, B. Piano is struck, C. Violin is bowed. I hear bowing. Answer: C",
            2,
        ),
        ("I don't think it is a piano", None),
        ("It is unlikely to be a piano", None),
        ("The answer cannot be B", None),
        ("the answer is unlikely to be B", None),
        ("Anything but B", None),
        ("B is unlikely", None),
        ("I would rule out B", None),
        ("B can be excluded", None),
        ("not B or C", None),
        ("piano rather than guitar", 1),
        ("a violin instead of drums", 2),
        ("It can't be A. It must be D.", 3),
        ("The key is C major", None),
        ("R&B", None),
        ("B-flat", None),
        ("B flat", None),
        ("B.B. King", None),
        ("Plan B", None),
        ("B minor", None),
        ("A-flat", None),
        ("A.I.", None),
        ("E.D.M.", None),
        ("D.J.", None),
        ("D-Beat", None),
        ("drop D tuning", None),
        ("guitars", 0),
        ("pianos", 1),
        ("A drum", 3),
        ("\u7b54\u6848\u662fC", 2),
        ("\u9009C", 2),
        ("\u6b63\u89e3\u306fC\u3067\u3059", 2),
        ("\u7b54\u6848\uff1aC", 2),
        ("The answer is (B).", 1),
        ("B. piano", 1),
        ("I think it is not A but C", 2),
        ("A piano is playing", 1),
        ("Answer: b", 1),
        ("**C**", 2),
        ("\\boxed{B}", 1),
        ("The answer is \\boxed{\\text{C}}", 2),
        ("C) Violin", 2),
        ("Option C: Violin", 2),
        ("The correct option is D", 3),
        ("Choice B", 1),
        ("(b)", 1),
        ("My answer is: A", 0),
        ("A", 0),
        ("a", 0),
        ("The instrument is a guitar.", 0),
        ("Guitar and piano", None),
        ("It's B not A", 1),
        ("B, not A", 1),
        ("It is either B or C", None),
        ("The answer could be B or C", None),
        ("Answer: B or C", None),
        ("Answer: B\nAnswer: C", 2),
        ("The final answer is: **B. Piano**", 1),
        ("The answer is A piano", 1),
        ("The answer is a piano.", 1),
        ("Between A and B, I choose B", 1),
        ("I choose B", 1),
        ("D: Drums", 3),
        ("None of the above", None),
        ("I'm not sure", None),
        ("Answer is option B", 1),
        ("The answer is option (c)", 2),
        ("B is the correct answer", 1),
        ("Both A and C", None),
        ("C.Violin", 2),
        ("B - Piano", 1),
        ("The answer is B, Piano", 1),
        ("The answer is B, not Guitar", 1),
        ("Answer: B (Guitar)", None),
        ("The audio features a piano playing in C major", 1),
        ("Correct answer: D", 3),
        ("I would say B", 1),
        ("I'd go with option B.", 1),
        ('"B"', 1),
        ("B\n", 1),
        ("The sound is from a violin, therefore the answer is C.", 2),
        ("The guitar is not heard, so it's the violin", 2),
        ("not A", None),
        ("A: the piano", None),
        ("\u7b54\u6848\u4e0d\u662fB", None),
        ("\u4e0d\u9009B", None),
        ("\u4e0d\u662fB\uff0c\u662fC", 2),
        ("The key is C", None),
        ("tempo: 120, key: C", None),
        ("middle C", None),
        ("B - it is a keyboard", 1),
        ("The recording lacks any piano; it is a violin", 2),
        ("<thinking>The answer is A</thinking> B", 1),
        ("<think>The answer is A", None),
        ("Dr. D", None),
        ("R & B", None),
        ("It is not a guitar", None),
    ],
)
def test_answers_as_models_give_them(output, index):
    assert parse_choice(output, INSTRUMENTS) == index


@pytest.mark.parametrize(
    ("output", "index"),
    [
        ("The song is in the key of C", None),
        ("Answer: C major", 0),
        ("answer: A minor", 3),
        ("C", 2),
        ("The answer is C", 2),
        ("It is in G major.", 2),
        ("The key is C major", 0),
    ],
)
def test_choices_that_begin_with_letters(output, index):
    assert parse_choice(output, ["C major", "D minor", "G major", "A minor"]) == index


@pytest.mark.parametrize(
    ("output", "index"), [("three", 2), ("There are two speakers", 1), ("3", 2), ("B", 1), ("no one", None)]
)
def test_numbers_in_words(output, index):
    assert parse_choice(output, ["1", "2", "3", "4"]) == index


@pytest.mark.parametrize(
    ("piece", "index"),
    [
        ("the answer is b ", 1),
        ("The answer is B. ", 1),
        ("(A) ", 0),
        ("A, B and ", None),
        ("not A, ", None),
        ("<think>", None),
        ("<answer>", None),
        ("is a ", None),
        ("[B", 1),
        ("(", None),
        ("**", None),
        ("`", None),
        ('"', None),
        ("[(", None),
        ("not (", None),
    ],
)
def test_long_outputs_are_read_in_one_pass(piece, index):
    """Trying each letter against all that follows would take this test an hour."""
    assert parse_choice(piece * (200_000 // len(piece)), INSTRUMENTS) == index, piece


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

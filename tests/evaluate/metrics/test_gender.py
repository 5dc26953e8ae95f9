"""Gender is read from words, not from letters inside them."""

import pytest

from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.gender import parse_gender
from opendasheng.evaluate.rows import Row


@pytest.mark.parametrize(
    ("label", "answer", "compat", "strict"),
    [
        ("male", "male", True, True),
        ("female", "Female.", True, True),
        ("male", "female", False, False),
        ("female", "The speaker is female", True, True),
        ("female", "a male and a female", False, False),
        ("female", "not female", True, False),
        ("male", "not female", False, True),
        ("male", "a man", False, True),
        ("female", "a woman speaks", False, True),
        ("male", "tamale", True, False),
        ("female", "\uff26emale", True, True),  # the published rule takes the letters "male" for male
        ("male", "", False, False),
    ],
)
def test_cases(label, answer, compat, strict):
    metric = make_metric("gender_accuracy", 1)
    metric.add(Row("p.jsonl", 1, {"label": [label], "model_output": answer}))
    found = metric.outcome()
    if answer.startswith("\uff26"):
        compat = False
    assert (bool(found.compat()), bool(found.strict())) == (compat, strict)


def test_both_or_neither_is_no_answer():
    assert parse_gender("male and female") is parse_gender("a child") is parse_gender("") is None


@pytest.mark.parametrize(
    ("answer", "gender"),
    [
        ("The speaker doesn't sound male", "female"),
        ("I don't think it is female", "male"),
        ("non-female", "male"),
        ("Not male or female", None),
        ("not male but female", "female"),
        ("No. Female.", "female"),
        ("The male's voice", "male"),
        ("ladies", "female"),
        ("I do not believe that this is a male speaker", "female"),
        ("It's unlikely that the speaker is male", "female"),
        ("it is not the voice of a woman", "male"),
        ("There's nothing female about this voice", "male"),
        ("a female speaker instead of a male one", "female"),
        ("It isn't possible to tell whether the speaker is male.", None),
        ("not sure if male", None),
        ("I'm not sure, but it sounds like a woman", "female"),
        ("The man is not loud", "male"),
        ("She is speaking", "female"),
        ("His voice is deep", "male"),
        ("He speaks, says the woman", "female"),
        ("F", "female"),
        ("Without doubt a man", "male"),
        ("No doubt a man", "male"),
        ("I am not sure that the speaker is male", None),
        ("mujer", "female"),
        ("without a doubt a man", "male"),
        ("The speaker cannot be identified as male or female", None),
        ("unclear if male", None),
        ("far from male", "female"),
        ("no es un hombre", "female"),
        ("kein Mann", "female"),
        ("Ce n'est pas un homme", "female"),
        ("weiblich", "female"),
        ("\u8bf4\u8bdd\u4eba\u662f\u5973\u6027\u3002", "female"),
        ("\u7537\u58f0", "male"),
        ("\u4e0d\u662f\u7537\u7684", "female"),
        ("\u7537\u548c\u5973", None),
        ("\u043c\u0443\u0436\u0447\u0438\u043d\u0430", "male"),
        ("\u5973\u6027", "female"),
        ("\u7537", "male"),
        ("fe\u00admale", "female"),
        ("human, mandarin, command", None),
    ],
)
def test_denials_and_endings(answer, gender):
    assert parse_gender(answer) == gender

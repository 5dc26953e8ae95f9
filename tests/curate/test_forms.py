"""The schemas that models are held to: with limits where a server takes them, and without."""

import jsonschema
import pytest

from opendasheng.curate.forms import CaptionsForm, QuestionsForm
from opendasheng.curate.record import DIFFICULTIES, QUESTION_CATEGORIES

FIELDS = ("short", "long", "speech", "music", "sound", "environment")
QUESTION = {
    "category": QUESTION_CATEGORIES[0],
    "difficulty": DIFFICULTIES[0],
    "question": "What barks?",
    "answer": "A dog.",
}
FIVE = [
    {**QUESTION, "category": category, "difficulty": difficulty}
    for category, difficulty in zip(
        QUESTION_CATEGORIES, ("basic", "basic", "intermediate", "intermediate", "advanced"), strict=False
    )
]
CAPTIONS = dict.fromkeys(FIELDS, "A dog barks.")


def accepts(form, answer, *, bounded):
    schema = form.response_format(bounded=bounded)["json_schema"]["schema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(answer)


@pytest.mark.parametrize(
    ("form", "answer", "within"),
    [
        (CaptionsForm, CAPTIONS, True),
        (CaptionsForm, {**CAPTIONS, "short": "dog " * 99}, False),
        (CaptionsForm, {**CAPTIONS, "music": ""}, False),
        (QuestionsForm, {"questions": FIVE}, True),
        (QuestionsForm, {"questions": FIVE[:4]}, False),
        (QuestionsForm, {"questions": [QUESTION] * 5}, False),
        (QuestionsForm, {"questions": [*FIVE[:4], {**FIVE[4], "answer": "dog " * 99}]}, False),
    ],
)
def test_limits_hold_where_they_are_asked_for(form, answer, within):
    assert accepts(form, answer, bounded=False)
    assert accepts(form, answer, bounded=True) == within


def test_what_the_limits_let_through_can_be_taken():
    """A text as long as may be in words is within the limit in characters."""
    assert accepts(CaptionsForm, {**CAPTIONS, "long": "word " * 90}, bounded=True)
    long = [{**question, "answer": "word " * 40} for question in FIVE]
    assert accepts(QuestionsForm, {"questions": long}, bounded=True)
    assert not accepts(CaptionsForm, {"short": "x"}, bounded=False)

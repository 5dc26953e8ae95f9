"""The schemas that models are held to: with limits where a server takes them, and without."""

import json

import jsonschema
import pytest
from findings import active, heard, tagged, valued

from opendasheng.curate.categories import NOTHING, kinds_of, named_kinds
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
ALL = heard(
    tagged(("Speech", 0, 2), ("Piano", 0, 2), ("Dog", 0, 2), ("Bark", 0, 2)), valued("levels", loudness_lufs=-40.0)
)
DOG = heard(tagged(("Dog", 0, 2)))


def accepts(form, answer, *, bounded):
    schema = form.response_format(ALL, bounded=bounded)["json_schema"]["schema"]
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


def test_of_what_nobody_tells_of_nothing_is_asked():
    schema = CaptionsForm.response_format(DOG)["json_schema"]["schema"]
    assert list(schema["properties"]) == schema["required"] == ["short", "long", "sound"]
    prompt = CaptionsForm.prompt(DOG)
    assert [f'- "{kind}"' in prompt for kind in ("speech", "music", "sound")] == [False, False, True]
    answer = dict.fromkeys(schema["required"], "A dog barks.")
    filled = CaptionsForm.read(json.dumps({**answer, "speech": "A dog barks."}))
    captions = filled.put(DOG, "m").captions["model"]
    assert captions.sound == "A dog barks."
    assert all(getattr(captions, field) == NOTHING[field] for field in ("speech", "music", "environment"))
    whole = CaptionsForm.prompt(ALL)
    assert all(f'- "{field}"' in whole for field in FIELDS)
    assert CaptionsForm.response_format(ALL)["json_schema"]["schema"]["required"] == list(FIELDS)


@pytest.mark.parametrize(
    ("findings", "asked"),
    [
        (tagged(("Dog", 0, 2), ("Silence", 0, 2)), False),
        (tagged(("Dog", 0, 2), ("Static", 0, 2)), True),
        (tagged(("Dog", 0, 2), ("Inside, small room", 0, 2)), True),
        ({**tagged(("Dog", 0, 2)), **valued("scene", scene="park")}, True),
    ],
)
def test_an_environment_is_asked_for_where_place_or_recording_is_told_of(findings, asked):
    schema = CaptionsForm.response_format(heard(findings))["json_schema"]["schema"]
    assert ("environment" in schema["required"]) is asked


@pytest.mark.parametrize("kind", ["speech", "music", "sound"])
def test_what_is_reported_cannot_be_said_to_be_absent(kind):
    said = {**CAPTIONS, kind: NOTHING[kind].rstrip(".").upper()}
    assert CaptionsForm.model_validate(said).wrong(ALL) == f"{kind}: {NOTHING[kind]!r} where it is reported"
    assert not CaptionsForm.model_validate(CAPTIONS).wrong(ALL)


def test_what_is_tagged_is_asked_for_though_it_does_not_make_a_kind():
    record = heard(tagged(("Dog", 0, 2), ("Music", 0, 2)), active(("speech", 0, 1)))
    assert named_kinds(record) == ["music", "sound"]
    assert kinds_of(record).keys() == {"sound"}

"""What is refused of a text about a clip, and with which reason."""

import tomllib
from importlib.resources import files

import pytest
from findings import heard, tagged, valued
from hypothesis import example, given
from hypothesis import strategies as st

from opendasheng.curate.describe import describe
from opendasheng.curate.grounding import wrong

RECORD = heard(
    tagged(("Speech", 0, 9), ("Vehicle horn, car horn, honking", 1, 2), ("Piano", 0, 9)),
    valued("speech", transcript="The ferry leaves at nine.", language="en"),
    valued("pitch", voice_gender="female"),
)
GROUPS = tomllib.loads(files("opendasheng.curate").joinpath("audioset.toml").read_text(encoding="utf-8"))
LABELS = [name for group in ("speech", "singing", "instrument", "music", "sound") for name in GROUPS[group]]


@pytest.mark.parametrize(
    "text",
    [
        "A woman speaks about a ferry while pianos play.",
        'A woman says: "The ferry leaves at nine," and a car horn honks.',
        "A female voice speaks English.",
        "Two horns of vehicles are honking.",
        "No other sounds are heard.",
        "She is in a hurry.",
    ],
)
def test_what_is_reported_may_be_said(text):
    assert wrong(text, RECORD, 40) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("a " * 41, "too long: 41 words, at most 40"),
        ("I'm sorry, there is nothing to caption.", "refusal"),
        ("As an AI model I hear speech.", "refusal"),
        ("Eine Frau spricht leise in einem kleinen Zimmer am Fenster.", "wrong language: de"),
        ("A dog barks while a woman speaks.", "not grounded: bark"),
        ("Guitars play behind the voice.", "not grounded: guitar"),
        ("A man speaks.", "not grounded: man"),
        ("A woman speaks Spanish.", "not grounded: spanish"),
        ('A woman says "the train leaves tomorrow morning".', "not grounded: quotes 'train tomorrow morning'"),
    ],
)
def test_what_is_refused(text, reason):
    assert wrong(text, RECORD, 40).startswith(reason)


def test_a_caption_has_words():
    assert wrong("15", RECORD, 40, 2) == "too short: '15'"
    assert wrong("{ } ...", RECORD, 40, 1).startswith("too short")
    assert wrong("Piano music.", RECORD, 40, 2) == ""


def test_what_is_said_in_the_clip_is_no_refusal():
    said = heard(tagged(("Speech", 0, 9)), valued("speech", transcript="I'm sorry."))
    assert wrong("The speaker says 'I'm sorry.'", said, 40) == ""
    assert wrong("I am unable to hear it.", said, 40) == "refusal"


def test_words_of_the_transcript_may_be_said_and_sounds_of_others_not():
    said = heard(tagged(("Speech", 0, 9)), valued("speech", transcript="My dog and my cat."))
    assert wrong("Somebody speaks about a dog.", said, 40) == ""
    assert wrong("Somebody speaks about a horse.", said, 40) == "not grounded: horse"


@given(st.lists(st.sampled_from(LABELS), unique=True, min_size=1, max_size=8), st.sampled_from(["male", "female", ""]))
@example(["Race car, auto racing", "Alarm", "Shout"], "male")
def test_the_template_is_grounded_whatever_is_heard(labels, gender):
    """It says nothing that is not reported, so nothing of it is refused."""
    voice = valued("pitch", voice_gender=gender) if gender else {}
    record = heard(tagged(*((label, 0, 9) for label in labels)), voice, valued("speech", transcript="Good day."))
    captions = describe(record).captions["template"]
    for text in captions.model_dump(exclude={"maker"}).values():
        assert "not grounded" not in wrong(text, record, 1000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A dog is heard by another program.", "about the reports: 'another program'"),
        ("Music is not reported.", "about the reports: 'is not reported'"),
        ("The notes mention no place.", "about the reports: 'The notes mention'"),
        ("A sound which in the notes has no name.", "about the reports: 'in the notes'"),
        ("Music throughout, Dog (perhaps).", "about the reports: '(perhaps)'"),
        ("A dog barks on a radio program.", ""),
    ],
)
def test_captions_are_about_the_clip(text, reason):
    assert wrong(text, heard(tagged(("Dog", 0, 2), ("Bark", 0, 1), ("Radio", 0, 1), ("Music", 0, 1))), 20) == reason

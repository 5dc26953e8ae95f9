"""Captions from findings: what is said, and that nothing else is."""

import tomllib
from importlib.resources import files

import pytest
from findings import active, heard, tagged, valued
from hypothesis import example, given
from hypothesis import strategies as st

from opendasheng.curate.describe import describe
from opendasheng.curate.record import Drop, Record
from opendasheng.curate.template import captions_of

GROUPS = tomllib.loads(files("opendasheng.curate").joinpath("audioset.toml").read_text(encoding="utf-8"))
SOUNDS = ["Dog", "Vehicle horn, car horn, honking", "Domestic animals, pets", "Walk, footsteps"]
LABELS = [*SOUNDS, *(name for group in GROUPS.values() for name in group)]


def test_speech_over_music_in_a_room():
    record = heard(
        tagged(("Speech", 0, 9), ("Music", 0, 9), ("Piano", 0, 9), ("Inside, small room", 0, 9), ("Door", 4, 5)),
        active(("speech", 0, 9), ("music", 0, 9)),
        valued("speech", transcript='He said "no".', language="en"),
        valued("pitch", voice_gender="male"),
        valued("levels", clipped_share=0.01, loudness_lufs=-20.0),
        valued("rhythm", {"key": 0.3}, tempo_bpm=92.3, beat_strength=3.0, key="A minor"),
    )
    captions = captions_of(record).model_dump(exclude={"maker"})
    assert captions == {
        "short": "A male voice speaks English over music with piano, with sounds of door.",
        "long": "A male voice speaks English over music with piano at about 92 beats a minute, perhaps in A minor, "
        "with sounds of door: \"He said 'no'.\" Recorded in a small room with peaks cut off.",
        "speech": "A male voice speaks English: \"He said 'no'.\"",
        "music": "Music with piano at about 92 beats a minute, perhaps in A minor.",
        "sound": "Sounds of door.",
        "environment": "Recorded in a small room with peaks cut off.",
    }


def test_sounds_are_told_in_the_order_in_which_they_begin():
    record = heard(tagged(("Dog", 5, 6), ("Vehicle horn, car horn, honking", 0, 2), ("Bark", 5.2, 6), ("Cat", 8, 9)))
    captions = captions_of(record)
    assert captions.sound == "Sounds of vehicle horn, then dog and bark."  # the fourth is not among the surest
    assert captions.short == "Sounds of dog."
    assert captions.speech == "No speech is heard."


def test_without_findings_nothing_is_said():
    captions = captions_of(heard())
    assert captions.short == "Nothing is heard."
    assert captions.long == "Nothing is heard. Nothing is known of the place or the recording."


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"background_quality_mos": 4.2}, "Recorded without noise."),
        (
            {"background_quality_mos": 2.0, "bandwidth_hz": 3500.0},
            "a noisy background and a narrow band as of a telephone",
        ),
        ({"background_quality_mos": 4.2, "silent_share": 0.7}, "Recorded with long silences."),
        ({"loudness_lufs": -50.0}, "Recorded with a low level."),
        ({"rt60_seconds": 1.8}, "Recorded with reverberation."),
    ],
)
def test_faults_of_a_recording_are_told(values, told):
    assert told in captions_of(heard(tagged(("Speech", 0, 9)), valued("any", **values))).environment


@pytest.mark.parametrize("values", [{"background_quality_mos": 2.0}, {"rt60_seconds": 1.8}])
def test_measures_of_speech_are_not_told_of_other_clips(values):
    record = heard(tagged(("Dog", 0, 9)), valued("any", **values))
    assert captions_of(record).environment == "Nothing is known of the place or the recording."


def test_a_fault_that_two_experts_report_is_told_once():
    record = heard(tagged(("Speech", 0, 9), ("Reverberation", 0, 9)), valued("any", rt60_seconds=1.8))
    assert captions_of(record).environment == "Recorded with reverberation."


def test_a_long_transcript_is_cut_and_one_without_speech_is_not_told():
    words = " ".join(f"w{n}" for n in range(50))
    spoken = captions_of(heard(tagged(("Speech", 0, 9)), valued("speech", transcript=words)))
    assert spoken.speech.endswith('w39 ..."')
    silent = captions_of(heard(tagged(("Dog", 0, 9)), valued("speech", transcript=words)))
    assert "w0" not in f"{silent.long}{silent.speech}"


@given(st.lists(st.sampled_from(LABELS), unique=True, max_size=8), st.sampled_from(["male", "female", None]))
@example(["Speech", "Music for children", "Brass instrument", "Dog"], "male")
def test_no_label_is_told_that_was_not_reported_and_short_is_short(labels, gender):
    voice = valued("pitch", voice_gender=gender) if gender else {}
    captions = captions_of(heard(tagged(*((label, 0, 9) for label in labels)), voice, valued("speech", language="el")))
    said = f"{captions.music} {captions.sound}".lower()
    reported = {label.lower() for label in labels}
    for label in ("Piano", "Theremin", "Jazz", "Yodeling", "Dog", "Walk, footsteps"):
        word = label.partition(",")[0].lower()
        assert (word in said) <= any(word in name for name in reported)
    assert len(captions.short.split()) <= 15
    if gender:
        assert (gender in captions.speech.split()) == bool(set(labels) & set(GROUPS["speech"]))
    assert all(text[0].isupper() or text[0] == '"' for text in captions.model_dump(exclude={"maker"}).values())


def test_a_record_is_described_once_and_for_all():
    record = heard(tagged(("Dog", 0, 9)))
    told = describe(record)
    assert (told.domain, told.category, told.captions["template"].short) == ("00A", "pure sound", "Sounds of dog.")
    assert describe(told) == told
    assert Record.from_line(told.to_line()) == told
    dropped = record.model_copy(update={"dropped": Drop(step="read", reason="x")})
    assert describe(dropped) == dropped


@pytest.mark.parametrize(
    ("count", "words"), [(1, "A female voice speaks."), (2, "Two voices speak."), (5, "Several voices speak.")]
)
def test_voices_are_counted(count, words):
    record = heard(
        tagged(("Speech", 0, 9)), valued("pitch", voice_gender="female"), valued("speakers", num_speakers=count)
    )
    assert captions_of(record).speech == words

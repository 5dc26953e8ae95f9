"""Findings in words: what is heard, how sure, and measures as a listener would say them."""

from findings import active, heard, tagged, valued
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.curate.evidence import evidence


def test_all_of_a_clip_is_told_in_words():
    record = heard(
        tagged(("Speech", 0, 4), ("Piano", 1, 9)),
        active(("speech", 0.2, 3.9), ("music", 1.0, 9.0)),
        valued("speech", transcript="Good day.", language="en"),
        valued("pitch", {"pitch_hz": 0.9}, pitch_hz=110.0, pitch_range_semitones=14.0, voice_gender="male"),
        valued("speakers", num_speakers=2),
        valued("quality", quality_mos=2.5, background_quality_mos=3.9),
        valued("reverberation", rt60_seconds=2.0),
        valued("levels", loudness_lufs=-40.0, silent_share=0.5, clipped_share=0.01, peak_dbfs=-1.0),
        valued("spectrum", bandwidth_hz=3500.0, centroid_hz=900.0),
        valued("rhythm", {"key": 0.2}, tempo_bpm=150.0, beat_strength=2.0, key="C major"),
        valued("scene", {"scene": 0.4}, scene="kitchen"),
    )
    assert evidence(record).splitlines() == [
        "length: 10.0 s",
        "heard: Speech 0.0 to 4.0 s, Piano throughout",
        'transcript: "Good day."',
        "language: English",
        "speakers: 2",
        "voice: male, low pitch, very lively",
        "tempo of the music: fast, about 150 beats a minute",
        "key of the music, perhaps: C major",
        "quality: poor overall, background: clean, much reverberation, loudness: very soft, "
        "band of frequencies: narrow, peaks cut off, silence for 50 % of it",
        "scene: kitchen (perhaps)",
    ]


def test_what_is_not_reported_is_not_there():
    assert evidence(heard()) == "length: 10.0 s\nheard: nothing in particular"


def test_what_is_taken_for_speech_by_one_expert_has_no_voice():
    """An effect, of which one expert heard speech, another words, and a third a bad recording."""
    record = heard(
        tagged(("Dog", 0, 9)),
        active(("speech", 0.2, 3.9)),
        valued("speech", transcript="Thank you.", language="en"),
        valued("pitch", pitch_hz=110.0, voice_gender="male"),
        valued("quality", quality_mos=1.5, background_quality_mos=1.5),
        valued("rhythm", {"key": 0.2}, tempo_bpm=150.0, beat_strength=2.0, key="C major"),
        valued("levels", loudness_lufs=-40.0),
    )
    assert evidence(record).splitlines() == ["length: 10.0 s", "heard: Dog throughout", "quality: loudness: very soft"]


@given(
    st.sampled_from(
        ("loudness_lufs", "pitch_hz", "quality_mos", "background_quality_mos", "bandwidth_hz", "rt60_seconds")
    ),
    st.floats(-1e6, 1e6),
)
def test_every_measure_has_its_word_and_no_figure_unless_it_is_as_usual(aspect, value):
    lines = evidence(heard(tagged(("Speech", 0, 9)), valued("x", **{aspect: value}))).splitlines()
    usual = {"loudness_lufs": -27 <= value < -15, "bandwidth_hz": value >= 4500, "rt60_seconds": value < 0.9}
    assert len(lines) == (2 if usual.get(aspect) else 3)
    assert not any(character.isdigit() for character in "".join(lines[2:]))

"""Experts that are models: what they report in the words of a record."""

import math
from pathlib import Path

import numpy as np
import pytest
from findings import heard
from tiny_experts import CLASSES, LANGUAGES, write_whisper, write_yamnet

from opendasheng.audio import load_audio
from opendasheng.curate.experts.activity import Activity
from opendasheng.curate.experts.speech import Speech
from opendasheng.curate.experts.tags import Tags
from opendasheng.curate.record import Findings, Record
from opendasheng.errors import CheckpointError
from opendasheng.experts.whisper import Whisper
from opendasheng.experts.yamnet import Yamnet

RATE = 16_000
EXAMPLES = Path(__file__).parents[3] / "examples" / "clips"


def record(seconds: float, **findings: Findings) -> Record:
    return heard(findings, duration_seconds=seconds)


def noise(seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_tags_are_the_classes_that_some_window_is_sure_of(tmp_path: Path) -> None:
    folder, audio = write_yamnet(tmp_path, scale=None), noise(3.0)
    scores = Yamnet(folder).scores(audio)
    found = Tags(str(folder)).hear(audio, record(3.0))
    sure = [CLASSES[c] for c in np.argsort(-scores.max(0), kind="stable") if scores[:, c].max() >= 0.3]
    assert list(found.values["tags"]) == sure[:8]
    for event in found.events:
        column = scores[:, CLASSES.index(event.label)]
        first = round(event.start_seconds / 0.48)
        last = math.ceil((event.end_seconds - 0.96) / 0.48 - 1e-6)  # the last window may go beyond the clip
        inside = column[first : last + 1]
        assert (inside >= 0.3).all()
        assert event.confidence == pytest.approx(inside.max(), abs=1e-3)
        assert event.end_seconds <= 3.0
    assert {event.label for event in found.events} == set(found.values["tags"])


def test_a_transcript_comes_with_its_language_where_the_model_knows_several(tmp_path: Path) -> None:
    audio = noise(1.0)
    many, one = write_whisper(tmp_path / "many", many_languages=True), write_whisper(tmp_path / "one")
    heard = Whisper(many).transcribe(audio)
    assert dict(Speech(str(many)).hear(audio, record(1.0)).values) == {
        "language": heard.language,
        "transcript": heard.text,
    }
    assert heard.language in LANGUAGES
    assert dict(Speech(str(one)).hear(audio, record(1.0)).values) == {"transcript": Whisper(one).transcribe(audio).text}


def test_what_is_heard_to_be_without_speech_is_not_transcribed(tmp_path: Path) -> None:
    expert = Speech(str(write_whisper(tmp_path / "one")))
    silent = Findings(version="1", values={"has_speech": False})
    assert not expert.wants(record(1.0, activity=silent))
    assert expert.wants(record(1.0))


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        Tags(str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match="nowhere"):
        Speech(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(("name", "kind"), [("speech.wav", "speech"), ("music.mp3", "music")])
def test_activity_hears_what_a_clip_is_of(name: str, kind: str) -> None:
    audio = load_audio(EXAMPLES / name)
    found = Activity().hear(audio, record(len(audio) / RATE))
    assert found.values[f"has_{kind}"] is True
    assert 0.3 < found.values[f"{kind}_share"] <= 1
    assert all(0 <= e.start_seconds < e.end_seconds <= len(audio) / RATE + 1e-3 for e in found.events)


def test_activity_hears_nothing_in_silence() -> None:
    found = Activity().hear(np.zeros(2 * RATE, np.float32), record(2.0))
    assert found.events == ()
    assert not any(found.values[f"has_{kind}"] for kind in ("speech", "singing", "music"))

"""Tempo and key of music, by librosa. Both are guesses from a few seconds: a tempo may be half or twice what a listener
taps, a key is right about as often as the pieces are plain."""

from typing import Any

import numpy as np

from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert
from opendasheng.curate.experts.compiled import Librosa
from opendasheng.curate.record import Findings, Record
from opendasheng.lengths import SAMPLE_RATE_HZ

_SHORTEST_SECONDS = 3.0
_HOP_SAMPLES = 160  # 10 ms: tempos that it tells apart lie 2 % from each other at 120 a minute
_NOTES = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
# How well each note fits a key, from its first on (Krumhansl and Kessler 1982).
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


class Rhythm(Expert):
    """Of clips of 3 s at least, that no expert before has heard to be without music."""

    name = "rhythm"
    aspects = ("tempo_bpm", "key", "beat_strength")
    kind = "music"

    def __init__(self) -> None:
        """Raises :class:`ConfigError` where librosa is not installed."""
        self._librosa = Librosa(self.name, _heard)

    @property
    def version(self) -> str:
        return f"1, librosa {self._librosa.version}"

    def wants(self, record: Record) -> bool:
        """Whether it is long enough, and music as far as is known."""
        return record.duration_seconds >= _SHORTEST_SECONDS and super().wants(record)

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        if len(audio) < _SHORTEST_SECONDS * SAMPLE_RATE_HZ or not np.abs(audio).max() > 0:
            return Findings(version=self.version)
        onsets, tempo, beats, chroma = _heard(self._librosa.ready, audio)
        values: dict[str, float | str] = {}
        if len(beats) > 1 and onsets.mean() > 0:
            values["tempo_bpm"] = round(tempo, 1)
            values["beat_strength"] = round(float(onsets[beats].mean() / onsets.mean()), 2)
        key, margin = key_of(chroma)
        values["key"] = key
        return Findings(version=self.version, values=values, confidences={"key": round(margin, 3)})


def _heard(librosa: Any, audio: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Onset strengths, every 10 ms; tempo, in beats a minute; the places of beats in these; strengths of 12 notes."""
    frames: dict[str, Any] = {"sr": SAMPLE_RATE_HZ, "hop_length": _HOP_SAMPLES}
    onsets = librosa.onset.onset_strength(y=audio, **frames)
    tempo, beats = librosa.beat.beat_track(onset_envelope=onsets, **frames)
    chroma = librosa.feature.chroma_cqt(y=audio, sr=SAMPLE_RATE_HZ).mean(1)
    return onsets, float(np.atleast_1d(tempo)[0]), beats, chroma


def key_of(chroma: np.ndarray) -> tuple[str, float]:
    """The key whose profile correlates best with the strengths of twelve notes from C on, and by how much more than
    the second best, from 0 to 1."""
    profiles = [
        (f"{_NOTES[n]} {mode}", np.roll(p, n)) for mode, p in (("major", _MAJOR), ("minor", _MINOR)) for n in range(12)
    ]
    scores = [float(np.corrcoef(chroma, profile)[0, 1]) for _, profile in profiles]
    best, second = np.argsort(scores)[::-1][:2]
    return profiles[best][0], float(np.clip(scores[best] - scores[second], 0, 1))

"""The pitch of a voice: median and range of F0 by probabilistic YIN (librosa), and how much of a clip is voiced."""

from typing import Any

import numpy as np

from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert
from opendasheng.curate.experts.compiled import Librosa
from opendasheng.curate.record import Findings, Record
from opendasheng.lengths import SAMPLE_RATE_HZ

_LOWEST_HZ, _HIGHEST_HZ = 60.0, 500.0
_FRAME_SAMPLES = 1024
_HOP_SAMPLES = 320
# Fewer frames of a voice, a fifth of a second, tell nothing of its pitch.
_FEWEST_FRAMES = 10
# Between these the voices of men and women overlap, so that nothing is said.
_MALE_BELOW_HZ, _FEMALE_ABOVE_HZ = 150.0, 180.0


class Pitch(Expert):
    """Of clips in which speech may be heard. ``voice_gender`` is a guess by pitch alone: children and high male voices
    are called female."""

    name = "pitch"
    aspects = ("pitch_hz", "pitch_range_semitones", "voiced_share", "voice_gender")
    kind = "speech"

    def __init__(self) -> None:
        """Raises :class:`ConfigError` where librosa is not installed."""
        self._librosa = Librosa(self.name, _pitch)

    @property
    def version(self) -> str:
        return f"1, librosa {self._librosa.version}"

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        padded = np.pad(audio, (0, max(0, _FRAME_SAMPLES - len(audio))))
        f0, voiced, sure = _pitch(self._librosa.ready, padded)
        values: dict[str, float | str] = {"voiced_share": round(float(voiced.mean()), 3)}
        if voiced.sum() < _FEWEST_FRAMES:
            return Findings(version=self.version, values=values)
        heard = f0[voiced]
        median = float(np.median(heard))
        low, high = np.percentile(heard, (10, 90))
        values["pitch_hz"] = round(median, 1)
        values["pitch_range_semitones"] = round(12 * float(np.log2(high / low)), 1)
        if not _MALE_BELOW_HZ <= median <= _FEMALE_ABOVE_HZ:
            values["voice_gender"] = "male" if median < _MALE_BELOW_HZ else "female"
        return Findings(
            version=self.version, values=values, confidences={"pitch_hz": round(float(sure[voiced].mean()), 3)}
        )


def _pitch(librosa: Any, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By frames of 20 ms: F0 in Hz, whether there is a voice, and how surely."""
    f0, voiced, sure = librosa.pyin(
        audio,
        fmin=_LOWEST_HZ,
        fmax=_HIGHEST_HZ,
        sr=SAMPLE_RATE_HZ,
        frame_length=_FRAME_SAMPLES,
        hop_length=_HOP_SAMPLES,
    )
    return f0, voiced, sure

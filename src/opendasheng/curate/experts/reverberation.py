"""How long a room rings after speech: the reverberation time, estimated from how steeply levels fall.

Nothing falls faster than the room lets it, so the steepest falls tell of the room (the idea is that of Wen, Habets and
Naylor, IWAENC 2008). The constants were fitted to simulated rooms (docs/decisions.md).
"""

import math

import numpy as np

from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert
from opendasheng.curate.record import Findings, Record
from opendasheng.lengths import SAMPLE_RATE_HZ

_FRAME_SAMPLES = 512
_HOP_SAMPLES = 128
_OCTAVES_HZ = ((250, 500), (500, 1000), (1000, 2000), (2000, 4000))
_SPAN_FRAMES = 15  # 0.12 s, over which a line is fitted
# Levels below are those of the noise behind the voice, which does not fall.
_NOISE_PERCENTILE, _ABOVE_NOISE_DB = 5, 10.0
_STEEP_PERCENTILE = 90
_FEWEST_FALLS = 20
# ln(seconds) = _OFFSET + _SLOPE * ln(dB a second)
_OFFSET, _SLOPE = 6.663, -1.528
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.1, 5.0


class Reverberation(Expert):
    """RT60 of clips in which speech may be heard. It is within about a third of the truth, and the shorter the clip,
    the rougher; a dry room and one of half a second are hardly told apart."""

    name = "reverberation"
    aspects = ("rt60_seconds",)
    kind = "speech"

    @property
    def version(self) -> str:
        return "1"

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        falls = falls_of(audio)
        if len(falls) < _FEWEST_FALLS:
            return Findings(version=self.version)
        seconds = math.exp(_OFFSET + _SLOPE * math.log(steepness(falls)))
        bounded = min(max(seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS)
        return Findings(version=self.version, values={"rt60_seconds": round(bounded, 2)})


def falls_of(audio: Waveform) -> np.ndarray:
    """How steeply levels of four octaves fall, dB a second, wherever they do: float64 ``(num_falls,)``."""
    padded = np.pad(audio, (0, _FRAME_SAMPLES))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME_SAMPLES)[::_HOP_SAMPLES]
    powers = np.square(np.abs(np.fft.rfft(frames * np.hanning(_FRAME_SAMPLES), axis=1)))
    frequencies = np.fft.rfftfreq(_FRAME_SAMPLES, 1 / SAMPLE_RATE_HZ)
    found = [_falls(powers[:, (frequencies >= low) & (frequencies < high)].sum(1)) for low, high in _OCTAVES_HZ]
    return np.concatenate(found)


def steepness(falls: np.ndarray) -> float:
    """Of the steepest tenth, dB a second."""
    return float(np.percentile(falls, _STEEP_PERCENTILE))


def _falls(powers: np.ndarray) -> np.ndarray:
    """Of the powers ``(num_frames,)`` of a band, by least squares over each 0.12 s that lies above the noise."""
    if len(powers) < _SPAN_FRAMES or not powers.max() > 0:
        return np.zeros(0)
    levels_db = 10 * np.log10(np.maximum(powers, 1e-12))
    spans = np.lib.stride_tricks.sliding_window_view(levels_db, _SPAN_FRAMES)
    times = (np.arange(_SPAN_FRAMES) - (_SPAN_FRAMES - 1) / 2) * _HOP_SAMPLES / SAMPLE_RATE_HZ
    slopes: np.ndarray = spans @ (times / (times @ times))
    above = spans.min(1) > np.percentile(levels_db, _NOISE_PERCENTILE) + _ABOVE_NOISE_DB
    falls: np.ndarray = -slopes[above & (slopes < 0)]
    return falls

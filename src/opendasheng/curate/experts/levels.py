"""How loud a clip is: loudness, peak, silence and clipping, in the terms of EBU R 128 and ITU-R BS.1770."""

import numpy as np

from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert, library
from opendasheng.curate.record import Event, Findings, Record
from opendasheng.lengths import SAMPLE_RATE_HZ

_FRAME_SAMPLES = 320  # 20 ms
_SILENCE_DBFS = -60.0
# A pause, not a gap between two words.
_SHORTEST_SILENCE_SECONDS = 0.5
# So many samples in a row at the very peak are cut off: a sine of 1 kHz has two at most.
_CLIPPED_RUN = 4
_CLIPPED_FROM = 0.9
_FLOOR_DBFS = -100.0


class Levels(Expert):
    """Integrated loudness (BS.1770, by pyloudnorm) where there are the 0.4 s that it needs, and counts of samples."""

    name = "levels"
    aspects = ("loudness_lufs", "peak_dbfs", "silent_share", "clipped_share", "dynamics_db")

    def __init__(self) -> None:
        """Raises :class:`ConfigError` where pyloudnorm is not installed."""
        self._meter = library("pyloudnorm", self.name).Meter(SAMPLE_RATE_HZ)

    @property
    def version(self) -> str:
        return "1"

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        values: dict[str, float] = {"peak_dbfs": _rounded(_decibels(np.abs(audio).max(initial=0.0)).item())}
        if len(audio) > self._meter.block_size * SAMPLE_RATE_HZ:
            loudness = float(self._meter.integrated_loudness(audio.astype(np.float64)))
            if np.isfinite(loudness):  # not where all of it lies below the gate
                values["loudness_lufs"] = _rounded(loudness)
        frames_dbfs = frame_levels(audio)
        silent = frames_dbfs < _SILENCE_DBFS
        values["silent_share"] = _rounded(float(silent.mean()), 3)
        values["clipped_share"] = _rounded(_clipped(audio), 5)
        if not silent.all():
            low, high = np.percentile(frames_dbfs[~silent], (10, 95))
            values["dynamics_db"] = _rounded(float(high - low))
        return Findings(version=self.version, values=values, events=tuple(_silences(silent)))


def frame_levels(audio: Waveform) -> np.ndarray:
    """Level of each 20 ms in dBFS, float64 ``(ceil(S / 320),)``, -100 at least."""
    padded = np.pad(audio.astype(np.float64), (0, -len(audio) % _FRAME_SAMPLES))
    roots = np.sqrt(np.square(padded.reshape(-1, _FRAME_SAMPLES)).mean(1))
    return _decibels(roots)


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Where stretches of true values begin and end (the first one that is none of them)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _silences(silent: np.ndarray) -> list[Event]:
    step = _FRAME_SAMPLES / SAMPLE_RATE_HZ
    long = [(start, end) for start, end in runs(silent) if (end - start) * step >= _SHORTEST_SILENCE_SECONDS]
    return [Event(label="silence", start_seconds=start * step, end_seconds=end * step) for start, end in long]


def _clipped(audio: Waveform) -> float:
    """Share of samples that are cut off: many in a row at the peak, which is near full scale."""
    peak = np.abs(audio).max(initial=0.0)
    if peak < _CLIPPED_FROM:
        return 0.0
    cut = sum(end - start for start, end in runs(np.abs(audio) >= 0.999 * peak) if end - start >= _CLIPPED_RUN)
    return cut / len(audio)


def _decibels(amplitudes: np.ndarray) -> np.ndarray:
    levels: np.ndarray = np.maximum(20 * np.log10(np.maximum(amplitudes, 1e-12)), _FLOOR_DBFS)
    return levels


def _rounded(value: float, digits: int = 1) -> float:
    return round(float(value), digits)

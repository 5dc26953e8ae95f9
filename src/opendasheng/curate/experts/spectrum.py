"""How a clip's sound lies in frequency: bandwidth, brightness and how much of a noise it is."""

import numpy as np

from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert
from opendasheng.curate.record import Findings, Record
from opendasheng.lengths import SAMPLE_RATE_HZ

_FRAME_SAMPLES = 1024
_HOP_SAMPLES = 512
# Below the loudest band by so much, a band holds nothing of the recording: what is left is rounding.
_NOTHING_DB = 70.0
_BAND_HZ = 250.0


class Spectrum(Expert):
    """From the mean power spectrum of 64 ms frames: the highest frequency that the recording has (a telephone's ends
    near 3.4 kHz), the centroid, and spectral flatness, which is 1 for white noise and near 0 for a tone."""

    name = "spectrum"
    aspects = ("bandwidth_hz", "centroid_hz", "flatness")

    @property
    def version(self) -> str:
        return "1"

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        powers = power_spectrum(audio)
        total = powers.sum()
        if total <= 0:
            return Findings(version=self.version)
        frequencies = np.fft.rfftfreq(_FRAME_SAMPLES, 1 / SAMPLE_RATE_HZ)
        heard = powers[1:]
        flatness = float(np.exp(np.log(heard + 1e-12 * heard.max()).mean()) / heard.mean())
        return Findings(
            version=self.version,
            values={
                "bandwidth_hz": _bandwidth(powers),
                "centroid_hz": float(round((powers * frequencies).sum() / total)),
                "flatness": round(flatness, 4),
            },
        )


def power_spectrum(audio: Waveform) -> np.ndarray:
    """Mean power of 513 bins from 0 to 8 kHz over frames of 64 ms, by Hann's window: float64 ``(513,)``."""
    padded = np.pad(audio.astype(np.float64), (0, max(0, _FRAME_SAMPLES - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME_SAMPLES)[::_HOP_SAMPLES]
    mean: np.ndarray = np.square(np.abs(np.fft.rfft(frames * np.hanning(_FRAME_SAMPLES), axis=1))).mean(0)
    return mean


def _bandwidth(powers: np.ndarray) -> float:
    """The upper end of the highest band of 250 Hz that holds something."""
    bins = round(_BAND_HZ * _FRAME_SAMPLES / SAMPLE_RATE_HZ)
    bands = powers[: len(powers) // bins * bins].reshape(-1, bins).mean(1)
    heard = np.flatnonzero(bands > bands.max() * 10 ** (-_NOTHING_DB / 10))
    return float((heard[-1] + 1) * _BAND_HZ)

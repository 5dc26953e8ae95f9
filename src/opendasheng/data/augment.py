"""Other speakers and channels from the same recording: pace, telephone bands, noise and masks, drawn with the plan.

What is drawn is a plain value of the draw, so that a batch is the same whenever and wherever it is put together.
"""

from dataclasses import dataclass

import numpy as np
import soxr

from opendasheng.data.shards import Audio
from opendasheng.errors import ConfigError
from opendasheng.lengths import SAMPLE_RATE_HZ

_TELEPHONE_HZ = 8_000  # sampled so: nothing above 4 kHz
_NOISE_DB = (-70.0, -36.0)
# SpecAugment (Park et al. 2019) masks up to 27 of 80 mel bands; here it is a quarter of the mel scale. Its 1 s of time
# is more than a word, of which most clips here have few.
_WIDEST_BAND = 0.25
_LONGEST_GAP_SECONDS, _LONGEST_GAP_SHARE = 0.4, 0.15


@dataclass(frozen=True)
class AugmentConfig:
    """How much is changed. ``speed_change`` 0.2 plays clips at 1 / 1.2 to 1.2 of their speed, pitch and formants with
    it, which makes another speaker; ``telephone_share`` of the draws lose what lies above 4 kHz; ``noise_share`` get
    white noise, 36 to 70 dB below their peak; each draw loses up to ``gaps`` spans of time (at most 0.4 s and 15 % of
    the clip each) and up to ``bands`` bands (at most a quarter of the mel scale each), evenly drawn from none on."""

    speed_change: float = 0.0
    telephone_share: float = 0.0
    noise_share: float = 0.0
    gaps: int = 0
    bands: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.speed_change <= 1:
            raise ConfigError(f"augment: speed_change is {self.speed_change}; it is from 0 to 1")
        for name in ("telephone_share", "noise_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augment: {name} is {getattr(self, name)}; it is a share between 0 and 1")
        for name in ("gaps", "bands"):
            if not 0 <= getattr(self, name) <= 10:
                raise ConfigError(f"augment: {name} is {getattr(self, name)}; it is a number from 0 to 10")

    def draw(self, random: np.random.Generator) -> "Change":
        """One change; the same numbers are taken from ``random`` whatever the shares are."""
        speed, telephone, noise, level, seed = random.random(5)
        return Change(
            speed=float((1 + self.speed_change) ** (2 * speed - 1)),
            telephone=bool(telephone < self.telephone_share),
            noise_db=_NOISE_DB[0] + level * (_NOISE_DB[1] - _NOISE_DB[0]) if noise < self.noise_share else None,
            seed=int(seed * 2**32),
            gaps=self.gaps,
            bands=self.bands,
        )


@dataclass(frozen=True)
class Change:
    """What is done to one clip; ``seed`` decides on the noise, and on number and places of gaps and bands."""

    speed: float = 1.0
    telephone: bool = False
    noise_db: float | None = None
    seed: int = 0
    gaps: int = 0
    bands: int = 0

    def retime(self, audio: Audio) -> Audio:
        """``audio`` ``(S,)`` float32 at 16 kHz, played at ``speed``: about ``S / speed`` samples."""
        if self.speed == 1:
            return audio
        return _resample(audio, self.speed * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)

    def degrade(self, audio: Audio) -> Audio:
        """``audio`` ``(S,)`` through a telephone, with noise and with what is masked left out, of the same length."""
        size = len(audio)
        if self.telephone:
            narrow = _resample(audio, SAMPLE_RATE_HZ, _TELEPHONE_HZ)
            audio = np.resize(_resample(narrow, _TELEPHONE_HZ, SAMPLE_RATE_HZ), size)
        if self.noise_db is not None:
            level = float(np.abs(audio).max(initial=0.0)) * 10 ** (self.noise_db / 20)
            audio = audio + level * np.random.default_rng(self.seed).standard_normal(size, dtype=np.float32)
        masks = np.random.default_rng([self.seed, 1])
        audio = _without_bands(audio, int(masks.integers(self.bands + 1)), masks) if self.bands else audio
        audio = _without_gaps(audio, int(masks.integers(self.gaps + 1)), masks) if self.gaps else audio
        return audio.astype(np.float32)


def _without_bands(audio: Audio, count: int, random: np.random.Generator) -> Audio:
    """``audio`` without ``count`` bands of random place and width."""
    if not count or not len(audio):
        return audio
    spectrum = np.fft.rfft(audio)
    mels = 2595 * np.log10(1 + np.linspace(0, SAMPLE_RATE_HZ / 2, len(spectrum)) / 700)
    for place, width in random.random((count, 2)):
        low = place * (1 - width * _WIDEST_BAND)
        inside = slice(*np.searchsorted(mels / mels[-1], (low, low + width * _WIDEST_BAND)))
        spectrum[inside] = 0
    masked: Audio = np.fft.irfft(spectrum, len(audio)).astype(np.float32)
    return masked


def _without_gaps(audio: Audio, count: int, random: np.random.Generator) -> Audio:
    """``audio`` with ``count`` spans of random place and length silenced."""
    audio = audio.copy()
    longest = min(_LONGEST_GAP_SECONDS * SAMPLE_RATE_HZ, _LONGEST_GAP_SHARE * len(audio))
    for place, length in random.random((count, 2)):
        size = round(length * longest)
        start = round(place * (len(audio) - size))
        audio[start : start + size] = 0
    return audio


def _resample(audio: Audio, from_hz: float, to_hz: float) -> Audio:
    # Draft quality: what the filter leaves above the band is far below the noise of the recordings.
    changed: Audio = soxr.resample(audio, from_hz, to_hz, quality="LQ")
    return changed

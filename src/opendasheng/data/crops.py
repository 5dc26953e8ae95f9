"""Stretches of audio without questions, for learning from sound alone: pure functions of seed and epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from opendasheng.data.clip import Clip
from opendasheng.data.rates import NEVER, rate, refuse_unknown
from opendasheng.errors import ConfigError
from opendasheng.lengths import SAMPLE_RATE_HZ

# What is left of a clip behind its last whole crop is a crop too, from this length on.
MIN_SECONDS = 0.5


@dataclass(frozen=True)
class Crop:
    """A stretch of clip ``index``, and the ``seed`` of all that is random about it."""

    index: int
    start_samples: int
    num_samples: int
    seed: tuple[int, ...]

    @property
    def duration_seconds(self) -> float:
        """Its length."""
        return self.num_samples / SAMPLE_RATE_HZ


class Crops:
    """All of ``clips``, cut one after the other into stretches of at most ``seconds``.

    ``repeats`` are rates by source or kind, as those of a mixture: 2.5 draws each clip two or three times an epoch.
    """

    def __init__(self, clips: Sequence[Clip], *, seconds: float, repeats: Mapping[str, float], seed: int) -> None:
        if seconds < MIN_SECONDS:
            raise ConfigError(f"crop_seconds is {seconds}; a crop is at least {MIN_SECONDS} s long")
        refuse_unknown(repeats, {clip.source for clip in clips})
        self.clips = clips
        self.seed = seed
        self._repeats = repeats
        self._size = round(seconds * SAMPLE_RATE_HZ)

    def epoch(self, epoch: int) -> list[Crop]:
        """The crops of one epoch in shuffled order."""
        random = np.random.default_rng([self.seed, epoch])
        crops: list[Crop] = []
        for index, clip in enumerate(self.clips):
            times = rate(self._repeats, clip)
            for _ in range(int(times) + (random.random() < times % 1)):
                for start, size in self._cut(clip):
                    crops.append(Crop(index, start, size, (self.seed, epoch, len(crops))))
        return [crops[i] for i in random.permutation(len(crops))]

    def not_drawn(self) -> dict[str, list[int]]:
        """Clips that no epoch draws, by the reason."""
        found: dict[str, list[int]] = {}
        for index, clip in enumerate(self.clips):
            if rate(self._repeats, clip) == 0:
                found.setdefault(NEVER, []).append(index)
            elif not self._cut(clip):
                found.setdefault(f"shorter than a crop may be ({MIN_SECONDS:g} s)", []).append(index)
        return found

    def _cut(self, clip: Clip) -> list[tuple[int, int]]:
        total = round(clip.duration_seconds * SAMPLE_RATE_HZ)
        sizes = ((start, min(self._size, total - start)) for start in range(0, total, self._size))
        return [(start, size) for start, size in sizes if size >= MIN_SECONDS * SAMPLE_RATE_HZ]

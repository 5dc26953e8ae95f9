"""Scenes of ten seconds with known times: clips of one split, one after the other, with silence between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from opendasheng.data.shards import ShardReader
from opendasheng.evaluate.xares.dataset import Audio
from opendasheng.lengths import SAMPLE_RATE_HZ

VERSION: Final = 1
SECONDS: Final = 10
_MAX_PART_SECONDS, _MAX_GAP_SECONDS, _MIN_PART_SECONDS = 3.0, 1.5, 0.2
_PEAK = 0.5  # every part is as loud as the others, so that loudness does not tell them apart


@dataclass(frozen=True)
class Part:
    """A clip of a corpus, by its index, in a scene from ``onset`` to ``offset`` at the latest, in samples."""

    index: int
    name: str
    onset: int
    offset: int


@dataclass(frozen=True)
class Scene:
    """Parts in order of time."""

    parts: tuple[Part, ...]

    def json(self) -> list[dict[str, Any]]:
        """The events as X-ARES's frame tasks have them, with the key ``scene`` for the class."""
        return [
            {"onset": part.onset / SAMPLE_RATE_HZ, "offset": part.offset / SAMPLE_RATE_HZ, "scene": part.name}
            for part in self.parts
        ]


def plan(pools: Mapping[str, Sequence[int]], lengths: Mapping[int, int], count: int, *, seed: str) -> list[Scene]:
    """``count`` scenes; each part is of a random class, and of a random clip of it.

    ``pools`` are the indices of clips by class, ``lengths`` their samples. The same arguments give the same scenes.
    """
    random = np.random.default_rng(list(seed.encode()))
    names = sorted(pools)
    scenes = []
    for _ in range(count if names else 0):
        parts, now = [], int(random.uniform(0, _MAX_GAP_SECONDS) * SAMPLE_RATE_HZ)
        while now < (SECONDS - _MIN_PART_SECONDS) * SAMPLE_RATE_HZ:
            name = names[int(random.integers(len(names)))]
            index = int(random.choice(pools[name]))
            longest = min(int(_MAX_PART_SECONDS * SAMPLE_RATE_HZ), SECONDS * SAMPLE_RATE_HZ - now)
            offset = now + min(lengths[index], longest)
            parts.append(Part(index, name, now, offset))
            now = offset + int(random.uniform(0, _MAX_GAP_SECONDS) * SAMPLE_RATE_HZ)
        scenes.append(Scene(tuple(parts)))
    return scenes


@dataclass(frozen=True)
class Rendering:
    """Makes the audio of a scene when called: float32 ``(160000,)``."""

    reader: ShardReader
    scene: Scene

    def __call__(self) -> Audio:
        audio = np.zeros(SECONDS * SAMPLE_RATE_HZ, dtype=np.float32)
        for part in self.scene.parts:
            clip = self.reader.audio(part.index)[: part.offset - part.onset]
            peak = float(np.abs(clip).max(initial=0.0))
            audio[part.onset : part.onset + len(clip)] = clip * (_PEAK / peak if peak > 0 else 0.0)
        return audio

"""Embeddings of the clips of a split, kept on disk: what one run has heard, no later one hears again.

Shapes: B crops of a batch, S samples, T patches, D embed_dim, N items, R rows of a block.

A folder holds the blocks of one split by one encoder: ``block-00000.npy`` float32 ``(R, D)`` and ``block-00000.json``,
which is written last and says how many rows each item has, and where the next block begins. So a run that is killed
loses at most one block, and the next one goes on with the same batches and ends in the same numbers.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.dataset import Audio, Split
from opendasheng.evaluate.xares.encoder import XaresEncoder
from opendasheng.evaluate.xares.tasks import Reading, Task
from opendasheng.files import write_atomically
from opendasheng.lengths import SAMPLE_RATE_HZ

FORMAT: Final = 1
_BATCHES_PER_BLOCK: Final = 8

Tell = Callable[[str], None]


class Crop(NamedTuple):
    """A stretch of a clip: the number of its sample in the split, its own number in the clip, and its audio."""

    sample: int
    number: int
    audio: Audio


@dataclass(frozen=True)
class Embeddings:
    """The items of a split in order: every crop that counts. ``samples`` int64 ``(N,)`` are the clips they are of."""

    samples: npt.NDArray[np.int64]
    blocks: tuple[npt.NDArray[np.float32], ...]
    places: tuple[tuple[int, int, int], ...]  # block, first row, rows

    def __len__(self) -> int:
        return len(self.places)

    def frames(self, item: int) -> npt.NDArray[np.float32]:
        """The rows of one item, float32 ``(T, D)``; a single one where only means are kept."""
        block, first, count = self.places[item]
        return self.blocks[block][first : first + count]

    def matrix(self) -> npt.NDArray[np.float32]:
        """The means of all items, float32 ``(N, D)``."""
        assert all(count == 1 for _, _, count in self.places), "these are frames, not means"
        return np.concatenate(self.blocks)


@dataclass(frozen=True)
class Recipe:
    """What decides the numbers, beside the encoder and the audio."""

    task: str
    reading: Reading
    crop_seconds: int | None
    batch_size: int
    keep_frames: bool

    @classmethod
    def of(cls, task: Task, reading: Reading) -> "Recipe":
        """Frames are kept for tasks that need them, else the mean over time."""
        keep_frames = task.kind in ("frame", "asr", "spelling")
        return cls(task.name, reading, task.crop_seconds, task.training.encode_batch_size, keep_frames)

    def folder(self, cache: Path, encoder: XaresEncoder, split_name: str, split: Split) -> Path:
        """Where the embeddings of a split are kept."""
        words = f"{FORMAT} {self} {split.fingerprint} {encoder.device}"
        return (
            cache
            / encoder.fingerprint
            / f"{self.task}-{split_name}-{self.reading}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
        )


def embed(
    encoder: XaresEncoder, task: Task, name: str, split: Split, reading: Reading, cache: Path, tell: Tell
) -> Embeddings:
    """The embeddings of a split, from the cache as far as they are there.

    ``compat`` is the package's way: batches of consecutive crops, padded with silence to the longest, padding frames
    kept. Of the crops of one clip in one batch only the first counts: they have one name, of which the package's reader
    keeps the first. ``strict`` hears each crop as if it were alone, and all of them count.

    Raises :class:`EvaluationError` for features that are not finite.
    """
    recipe = Recipe.of(task, reading)
    folder = recipe.folder(cache, encoder, name, split)
    folder.mkdir(parents=True, exist_ok=True)
    metas = _finished_blocks(folder)
    if not (metas and metas[-1]["done"]):
        start = metas[-1]["next"] if metas else [0, 0]
        if start != [0, 0]:
            tell(f"{task.name}, {name}: going on at clip {start[0]} of {len(split.samples)}")
        for meta in _make_blocks(encoder, recipe, split, folder, start, len(metas)):
            metas.append(meta)
            tell(f"{task.name}, {name}: {meta['next'][0]} of {len(split.samples)} clips embedded")
    return _opened(folder, metas)


def _finished_blocks(folder: Path) -> list[dict[str, Any]]:
    metas: list[dict[str, Any]] = []
    while (path := folder / f"block-{len(metas):05d}.json").is_file():
        metas.append(json.loads(path.read_bytes()))
    return metas


def _make_blocks(
    encoder: XaresEncoder, recipe: Recipe, split: Split, folder: Path, start: Sequence[int], first: int
) -> Iterator[dict[str, Any]]:
    crops = _crops(split, recipe, start)
    number, done = first, False
    while not done:
        rows: list[npt.NDArray[np.float32]] = []
        meta: dict[str, Any] = {"samples": [], "rows": [], "next": list(start), "done": False}
        for _ in range(_BATCHES_PER_BLOCK):
            batch = [crop for _, crop in zip(range(recipe.batch_size), crops, strict=False)]
            if not batch:
                break
            for crop, x_TD in _embed_batch(encoder, recipe, batch, split):
                rows.append(x_TD)
                meta["samples"].append(crop.sample)
                meta["rows"].append(len(x_TD))
            meta["next"] = [batch[-1].sample, batch[-1].number + 1]
        done = meta["done"] = len(batch) < recipe.batch_size
        if done:
            meta["next"] = [len(split.samples), 0]
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate(rows) if rows else np.zeros((0, encoder.output_dim), dtype=np.float32))
        write_atomically(folder / f"block-{number:05d}.npy", buffer.getvalue())
        write_atomically(folder / f"block-{number:05d}.json", json.dumps(meta).encode())
        yield meta
        start, number = meta["next"], number + 1


def _crops(split: Split, recipe: Recipe, start: Sequence[int]) -> Iterator[Crop]:
    """All crops of the split in order, from a clip's crop on; a clip that has no more of them is passed over."""
    for index in range(start[0], len(split.samples)):
        audio = split.samples[index].audio()
        for number, crop in enumerate(crops(audio, recipe)):
            if index > start[0] or number >= start[1]:
                yield Crop(index, number, crop)


def crops(audio: Audio, recipe: Recipe) -> Iterator[Audio]:
    """Consecutive whole crops; what is left at the end is dropped, as the benchmark defines.

    A clip shorter than one crop is padded with silence to it (``compat``), or taken as it is (``strict``).
    """
    if recipe.crop_seconds is None:
        yield audio
        return
    size = recipe.crop_seconds * SAMPLE_RATE_HZ
    if len(audio) < size:
        yield np.pad(audio, (0, size - len(audio))) if recipe.reading == "compat" else audio
    for first in range(0, len(audio) - size + 1, size):
        yield audio[first : first + size]


def _embed_batch(
    encoder: XaresEncoder, recipe: Recipe, batch: Sequence[Crop], split: Split
) -> Iterator[tuple[Crop, npt.NDArray[np.float32]]]:
    is_compat = recipe.reading == "compat"
    heard = [
        crop for place, crop in enumerate(batch) if not (is_compat and place and crop.sample == batch[place - 1].sample)
    ]
    lengths = [len(crop.audio) for crop in heard]
    audio_BS = torch.zeros(len(heard), max(lengths))
    for row_S, crop in zip(audio_BS, heard, strict=True):
        row_S[: len(crop.audio)] = torch.from_numpy(crop.audio)
    if is_compat:
        lengths = [max(lengths)] * len(heard)
    for crop, x_TD in zip(heard, encoder.encode(audio_BS.to(encoder.device), lengths), strict=True):
        if not bool(x_TD.isfinite().all()):
            raise EvaluationError(f"{split.samples[crop.sample].key}: its features are not finite numbers")
        kept_TD = x_TD if recipe.keep_frames else x_TD.mean(0, keepdim=True)
        yield crop, kept_TD.float().cpu().numpy()


def _opened(folder: Path, metas: Sequence[dict[str, Any]]) -> Embeddings:
    blocks = tuple(np.load(folder / f"block-{number:05d}.npy", mmap_mode="r") for number in range(len(metas)))
    places, samples = [], []
    for number, meta in enumerate(metas):
        first = 0
        for sample, count in zip(meta["samples"], meta["rows"], strict=True):
            places.append((number, first, count))
            samples.append(sample)
            first += count
    return Embeddings(np.array(samples, dtype=np.int64), blocks, tuple(places))

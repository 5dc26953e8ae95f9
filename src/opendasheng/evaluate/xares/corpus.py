"""The tasks of corpus.toml over our own shards, in the form that X-ARES's data have."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardReader
from opendasheng.data.spread import spread
from opendasheng.evaluate.xares import scenes
from opendasheng.evaluate.xares.dataset import Sample, Split
from opendasheng.evaluate.xares.tasks import CorpusTask
from opendasheng.lengths import SAMPLE_RATE_HZ

_NUM_SCENES = 300


@dataclass(frozen=True)
class _Pick:
    """A clip that belongs to the task; ``group`` is what the limit is spread over."""

    index: int
    clip: Clip
    json: Any
    classes: tuple[str, ...]

    @property
    def group(self) -> str:
        return self.classes[0] if self.classes else ""


class CorpusDataset:
    """One task over a corpus. ``limit`` clips of a split are taken at most, spread evenly over classes and sources.

    Which they are depends on the ids of the clips alone, and those of a smaller limit are among those of a larger.
    """

    def __init__(self, reader: ShardReader, corpus_task: CorpusTask, limit: int | None = None) -> None:
        self.corpus_task = corpus_task
        self.task = corpus_task.task
        self._limit = limit
        self._reader = reader

    @cached_property
    def _picks(self) -> dict[str, list[_Pick]]:
        """What belongs to the task, by the corpus's own split, before the limit."""
        picks: dict[str, list[_Pick]] = {}
        for index, clip in enumerate(self._reader.clips):
            found = _label(self.task.label.key, clip) if clip.kind in self.corpus_task.kinds else None
            if found is not None:
                picks.setdefault(clip.split, []).append(_Pick(index, clip, *found))
        return picks

    @cached_property
    def _classes(self) -> frozenset[str] | None:
        """Classes common enough in training that occur in test; None where a task has no classes."""
        if self.task.kind not in ("clip", "tags"):
            return None
        trained, tested = (self._count(self.task.splits[name]) for name in ("train", "test"))
        return frozenset(name for name in trained if trained[name] >= self.corpus_task.min_clips and tested[name])

    def _count(self, split: str) -> Counter[str]:
        return Counter(name for pick in self._picks.get(split, ()) for name in pick.classes)

    def is_there(self) -> bool:
        """Whether there are clips to train and to test on, and two classes where there are classes."""
        if any(not self._picks.get(self.task.splits[name]) for name in ("train", "test")):
            return False
        return self._classes is None or len(self._classes) > 1

    def split(self, name: str) -> Split:
        """The samples of ``train``, ``valid`` or ``test``; there may be none for ``valid``."""
        picks = self._picks.get(self.task.splits[name], [])
        if self.task.label.key == "scene":
            return self._scenes(picks, name)
        notes = []
        if self._classes is not None:
            kept = [kept for pick in picks if (kept := _only(pick, self._classes, self.task.label.key)) is not None]
            if len(kept) < len(picks):
                rare = f"fewer than {self.corpus_task.min_clips} clips in training, or none in test"
                notes.append(f"{name}: {len(picks) - len(kept)} clips are of classes with {rare}")
            picks = kept
        picks = spread(picks, self._limit, clip=lambda pick: pick.clip, group=lambda pick: pick.group)
        samples = tuple(Sample(pick.clip.id, pick.json, _Reading(self._reader, pick.index)) for pick in picks)
        return Split(samples, _fingerprint(picks, self._reader), tuple(notes))

    def _scenes(self, picks: list[_Pick], name: str) -> Split:
        """Ten-second scenes laid out from the clips of the split, with the kinds of their parts as events."""
        count = min(_NUM_SCENES, self._limit or _NUM_SCENES)
        pools = {kind: [p.index for p in picks if p.clip.kind == kind] for kind in self.corpus_task.kinds}
        lengths = {pick.index: round(pick.clip.duration_seconds * SAMPLE_RATE_HZ) for pick in picks}
        plans = scenes.plan({kind: pool for kind, pool in pools.items() if pool}, lengths, count, seed=name)
        samples = tuple(
            Sample(f"scene-{name}-{number:05d}", plan.json(), scenes.Rendering(self._reader, plan))
            for number, plan in enumerate(plans)
        )
        missing = [kind for kind, pool in pools.items() if not pool]
        notes = (f"{name}: there is no {' or '.join(missing)} to lay scenes out from",) if missing else ()
        return Split(samples, f"{_fingerprint(picks, self._reader)}-{count}-{scenes.VERSION}", notes)


@dataclass(frozen=True)
class _Reading:
    reader: ShardReader
    index: int

    def __call__(self) -> Any:
        return self.reader.audio(self.index)


def _label(field: str, clip: Clip) -> tuple[Any, tuple[str, ...]] | None:
    """A clip's JSON for the task, and its classes; None where it has no label."""
    if field == "scene":
        return [], ()
    value = getattr(clip, field)
    if not value:
        return None
    if field == "labels":
        return {field: ";".join(value)}, value
    if field == "captions":
        return {field: list(value)}, clip.labels[:1]
    return {field: value}, (value,) if field != "transcript" else ()


def _only(pick: _Pick, classes: frozenset[str], field: str) -> _Pick | None:
    """The pick with the classes that take part; None without any."""
    kept = tuple(name for name in pick.classes if name in classes)
    if not kept:
        return None
    return _Pick(pick.index, pick.clip, {field: ";".join(kept)}, kept)


def _fingerprint(picks: Iterable[_Pick], reader: ShardReader) -> str:
    """Of the clips' ids and audio in their order: labels may change without making new embeddings."""
    digest = hashlib.sha256()
    for pick in picks:
        digest.update(f"{pick.clip.id}\0".encode() + hashlib.sha256(reader.flac(pick.index)).digest())
    return digest.hexdigest()

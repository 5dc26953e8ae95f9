"""The groups of MECAT: which keys are in them, what each scores, and how they make up the overall figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendasheng.evaluate.mecat_data import Given, Reference, clip_of, table
from opendasheng.evaluate.metrics.base import Floats, Outcome, Statistic
from opendasheng.evaluate.rows import hash64
from opendasheng.evaluate.statistics import Hashes, interval


@dataclass(frozen=True)
class Figure:
    """A metric's figures of one group, in percent; intervals are 95 %, None where none were asked for."""

    compat: float
    strict: float
    ci95: tuple[float, float] | None = None
    ci95_strict: tuple[float, float] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def overall(scores: Mapping[str, float], task: str) -> float:
    """The overall figure of scores by group: MECAT's formula for captions, the plain mean for questions."""
    return fsum(weight * scores[name] for name, weight in weights(task).items())


def weights(task: str) -> dict[str, float]:
    """What each group adds to the overall figure; together 1."""
    if task == "caption":
        return {name: group["weight"] for name, group in table()["groups"].items()}
    names = table()["subtasks"]["qa"]
    return {name: 1 / len(names) for name in names}


@dataclass
class Part:
    """One group of a run: its keys in order, the answers to its sub-task, which keys have one, outcomes by metric."""

    name: str
    subtask: str
    keys: list[str]
    given: Given
    answered: NDArray[np.bool_]
    compat: dict[str, Outcome] = field(default_factory=dict)
    strict: dict[str, Outcome] = field(default_factory=dict)

    @property
    def num_answered(self) -> int:
        """How many keys have an answer."""
        return int(self.answered.sum())

    def answered_keys(self) -> list[str]:
        """The keys that have an answer."""
        return [key for key, there in zip(self.keys, self.answered, strict=True) if there]

    def clips(self, of_all: bool) -> Hashes:
        """Of which clip each key is, or each that is answered: uint64 ``(num_keys,)``."""
        keys = self.keys if of_all else self.answered_keys()
        return np.array([hash64(clip_of(key)) for key in keys], dtype=np.uint64)

    def compat_share(self, metric: str, drawn: Floats | None = None) -> float:
        """The figure of the answered keys, which ``drawn`` weighs; 0 without answers, as in the package."""
        return self.compat[metric].compat(drawn) if metric in self.compat else 0.0

    def strict_share(self, metric: str, drawn: Floats | None = None) -> float:
        """The figure of all keys, which ``drawn`` weighs: one without an answer scores 0."""
        if metric not in self.strict:
            return 0.0
        if drawn is None:
            return self.strict[metric].strict() * self.num_answered / len(self.keys)
        answered = drawn[self.answered]
        return self.strict[metric].strict(answered) * float(answered.sum()) / max(float(drawn.sum()), 1.0)


def parts_of(task: str, given: Mapping[str, Given], known: Mapping[str, Reference], level: str | None) -> list[Part]:
    """The groups that there are answers for, in the package's order; ``level`` keeps only questions of it."""
    every = frozenset(table()["domains"])
    if task == "qa":
        groups = {name: (name, every) for name in table()["subtasks"]["qa"]}
    else:
        groups = {
            name: (group["subtask"], frozenset(group.get("domains", every)))
            for name, group in table()["groups"].items()
        }
    found = []
    for name, (subtask, domains) in groups.items():
        if subtask not in given:
            continue
        keys = sorted(
            key
            for key, reference in known.items()
            if subtask in reference.texts and reference.domain in domains and level in (None, reference.level)
        )
        answered = np.array([key in given[subtask].texts for key in keys], dtype=np.bool_)
        found.append(Part(name, subtask, keys, given[subtask], answered))
    return found


def figures_of(part: Part, metrics: Sequence[str], resamples: int, seed: int) -> dict[str, Figure]:
    """The figures of one group by metric; intervals are of its clips."""
    compat = {metric: partial(part.compat_share, metric) for metric in metrics}
    strict = {metric: partial(part.strict_share, metric) for metric in metrics}
    details = {metric: part.compat[metric].details if metric in part.compat else {} for metric in metrics}
    return _figures(compat, strict, (part.clips(False), part.clips(True)), details, resamples, seed)


def overall_of(
    parts: Sequence[Part], task: str, metrics: Sequence[str], resamples: int, seed: int
) -> dict[str, Figure]:
    """The overall figures by metric, with BLEU-1 to BLEU-4 as details; a clip is drawn with all of its answers."""
    sides = []
    for of_all in (False, True):
        clips = [part.clips(of_all) for part in parts]
        ends = np.cumsum([len(own) for own in clips])
        spans = [slice(end - len(own), end) for end, own in zip(ends.tolist(), clips, strict=True)]
        sides.append((np.concatenate(clips), {m: partial(_overall, parts, spans, task, m, of_all) for m in metrics}))
    details: dict[str, dict[str, float]] = {metric: {} for metric in metrics}
    if "bleu" in metrics:
        of_parts = {part.name: part.compat["bleu"].details if "bleu" in part.compat else {} for part in parts}
        for name in (f"bleu_{n}" for n in range(1, 5)):
            details["bleu"][name] = overall({own: of_parts[own].get(name, 0.0) for own in of_parts}, task)
    (answered, compat), (every, strict) = sides
    return _figures(compat, strict, (answered, every), details, resamples, seed)


def _overall(
    parts: Sequence[Part], spans: Sequence[slice], task: str, metric: str, of_all: bool, drawn: Floats | None = None
) -> float:
    shares = {}
    for part, span in zip(parts, spans, strict=True):
        own = None if drawn is None else drawn[span]
        if own is not None and not own.any():  # a small group that a resample misses says nothing new
            own = None
        shares[part.name] = part.strict_share(metric, own) if of_all else part.compat_share(metric, own)
    return overall(shares, task)


def _figures(
    compat: Mapping[str, Statistic],
    strict: Mapping[str, Statistic],
    clips: tuple[Hashes, Hashes],
    details: Mapping[str, Mapping[str, Any]],
    resamples: int,
    seed: int,
) -> dict[str, Figure]:
    bounds = _bounds(compat, clips[0], resamples, seed), _bounds(strict, clips[1], resamples, seed)
    return {
        metric: Figure(
            100 * compat[metric](),
            100 * strict[metric](),
            bounds[0].get(metric),
            bounds[1].get(metric),
            details[metric],
        )
        for metric in compat
    }


def _bounds(
    statistics: Mapping[str, Statistic], clips: Hashes, resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    if not resamples or not len(clips):
        return {}
    found = interval(list(statistics.values()), clips, resamples, seed)
    return {name: (100 * low, 100 * high) for name, (low, high) in zip(statistics, found, strict=True)}

"""Which clips are drawn, how often, and together with what: a plan that is a pure function of seed and epoch.

Nothing here keeps state, so a resumed run draws exactly what an uninterrupted one would have drawn.
"""

import math
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from opendasheng import prompts
from opendasheng.data.augment import AugmentConfig, Change
from opendasheng.data.clip import Clip
from opendasheng.data.rates import NEVER, rate, refuse_unknown
from opendasheng.data.tasks import TASKS, Example, examples, join_captions, join_labels, join_transcripts
from opendasheng.errors import ConfigError

# How far a background lies below the foreground, and how much the level of a clip varies, both in dB.
_BACKGROUND_DB = (-15.0, -3.0)
_GAIN_DB = (-9.0, 3.0)
# Silence between clips that are heard one after the other, and how many there are of them at most.
_PAUSE_SECONDS = (0.1, 0.6)
_MOST_IN_A_ROW = 6
# How often an epoch draws a clip: one of more draws would take longer to plan than anybody waits.
_MOST_REPEATS = 10_000
# What any clip could be asked, though its author may not have wanted it.
_WEIGHTS = {"kind": 0.0}


class Follower(NamedTuple):
    """A clip, by its index, that is heard after another, behind a pause."""

    clip: int
    pause_seconds: float


@dataclass(frozen=True)
class Draw:
    """One training sample: a clip, perhaps others after it or one beneath it, how it is changed, and what is asked."""

    index: int
    example: Example
    duration_seconds: float
    gain_db: float = 0.0
    background: int | None = None
    background_db: float = 0.0
    change: Change = field(default_factory=Change)
    followers: tuple[Follower, ...] = ()

    def in_a_row(self) -> tuple[int, ...]:
        """The clips that are heard one after the other, most often one."""
        return self.index, *(follower.clip for follower in self.followers)

    def heard(self) -> tuple[int, ...]:
        """All clips that are heard, the one beneath the others as the last."""
        return (*self.in_a_row(), *(() if self.background is None else (self.background,)))

    def transcript(self, clips: Sequence[Clip]) -> str:
        """What is said in its clips, one after the other; empty where nothing is known to be."""
        return join_transcripts(clips[index].transcript or "" for index in self.in_a_row())


@dataclass(frozen=True)
class MixtureConfig:
    """Rates of drawing. ``repeats`` by source or kind: 2.5 draws each clip two or three times an epoch, 0 leaves it
    out (a source's own rate counts before its kind's; 1 where neither is named). ``temperature`` above 1 draws
    small sources more and large ones less often, in proportion to the power 1 / temperature of their draws; an
    epoch stays as long. ``task_weights`` choose among the examples of a clip (1 where none is named; ``kind`` is only
    asked where it is). ``mixed_share`` of sound and music draws become the background of a speech clip, which is
    drawn by its rate too: what has a rate of 0 is heard neither above nor beneath another. ``joined_share``
    of the transcriptions go on with other clips of their source and language, five at most, up to
    ``max_clip_seconds`` in all and as long as their answer may be, so that short clips teach long ones."""

    repeats: dict[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    task_weights: dict[str, float] = field(default_factory=dict)
    mixed_share: float = 0.0
    joined_share: float = 0.0
    max_clip_seconds: float = 15.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        unknown = set(self.task_weights) - set(TASKS)
        if unknown:
            raise ConfigError(f"task_weights: no task {sorted(unknown)[0]!r}; there are {', '.join(TASKS)}")
        for table, values in (("repeats", self.repeats), ("task_weights", self.task_weights)):
            for name, value in values.items():
                if not 0 <= value < math.inf:
                    raise ConfigError(f"{table}: {name} is {value}; it is a finite number of 0 or more")
        for name, value in self.repeats.items():
            if value > _MOST_REPEATS:
                raise ConfigError(f"repeats: {name} is {value}; it is at most {_MOST_REPEATS}")
        if not 1 <= self.temperature < math.inf:
            raise ConfigError(f"temperature is {self.temperature}; it is a finite number of 1 or more")
        if not 0 < self.max_clip_seconds < math.inf:
            raise ConfigError(f"max_clip_seconds is {self.max_clip_seconds}; it is above 0, and finite")
        for name in ("mixed_share", "joined_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is a share between 0 and 1")

    def weight(self, task: str) -> float:
        """The weight of ``task`` among those of a clip."""
        return self.task_weights.get(task, _WEIGHTS.get(task, 1.0))


def _anything(_: Draw) -> bool:
    return True


class Mixture:
    """The plan of a run over ``clips``, all of one split, so that a mixture never joins train and test."""

    def __init__(
        self, clips: Sequence[Clip], config: MixtureConfig, seed: int, fits: Callable[[Draw], bool] = _anything
    ) -> None:
        """Of clips in a row, as many are drawn as ``fits`` takes."""
        self.clips = clips
        self._fits = fits
        self.config = config
        self.seed = seed
        refuse_unknown(config.repeats, {clip.source for clip in clips})
        if len({clip.split for clip in clips}) > 1:
            raise ConfigError("a mixture takes clips of one split")
        self._usable = [i for i, clip in enumerate(clips) if clip.duration_seconds <= config.max_clip_seconds]
        self._factors = self._tempered()
        self._speech = [i for i in self._usable if clips[i].kind == "speech" and self._rate(clips[i]) > 0]
        self._speech_bounds = list(accumulate(self._rate(clips[i]) for i in self._speech))
        if not self._usable:
            raise ConfigError(f"no clip is at most {config.max_clip_seconds} s long (max_clip_seconds)")

    def not_drawn(self) -> dict[str, list[int]]:
        """Clips that no epoch draws, by the reason; those of which nothing is asked may be a background."""
        found: dict[str, list[int]] = {}
        for index, clip in enumerate(self.clips):
            if clip.duration_seconds > self.config.max_clip_seconds:
                found.setdefault(f"longer than max_clip_seconds ({self.config.max_clip_seconds:g})", []).append(index)
            elif self._rate(clip) == 0:
                found.setdefault(NEVER, []).append(index)
            elif not (tasks := {example.task for example in examples(clip)}):
                found.setdefault("no answer: neither caption, transcript, label nor question", []).append(index)
            elif not any(map(self.config.weight, tasks)):
                found.setdefault("task_weights of 0 for all that can be asked", []).append(index)
        return found

    def not_asked(self) -> dict[str, int]:
        """Tasks that ``task_weights`` names with 0, each with the number of clips that could be asked."""
        counts = Counter(task for clip in self.clips for task in {example.task for example in examples(clip)})
        return {task: counts[task] for task, weight in self.config.task_weights.items() if weight == 0}

    def epoch(self, epoch: int) -> list[Draw]:
        """The draws of one epoch in shuffled order."""
        random = np.random.default_rng([self.seed, epoch])
        draws = []
        for index in self._usable:
            times = self._rate(self.clips[index])
            for _ in range(int(times) + (random.random() < times % 1)):
                draw = self._draw(index, random)
                if draw is not None:
                    draws.append(self._changed(draw, random))
        return [draws[i] for i in random.permutation(len(draws))]

    def _tempered(self) -> dict[str, float]:
        """By how much the rates of each source are multiplied."""
        if self.config.temperature == 1:
            return {}
        draws = Counter[str]()
        for index in self._usable:
            draws[self.clips[index].source] += self._own_rate(self.clips[index])  # type: ignore[assignment]
        wanted = {source: count ** (1 / self.config.temperature) for source, count in draws.items() if count}
        scale = sum(draws.values()) / max(sum(wanted.values()), 1e-9)
        return {source: scale * share / draws[source] for source, share in wanted.items()}

    def _changed(self, draw: Draw, random: np.random.Generator) -> Draw:
        if self.config.augment == AugmentConfig():
            return draw
        change = self.config.augment.draw(random)
        return replace(draw, change=change, duration_seconds=draw.duration_seconds / change.speed)

    def _rate(self, clip: Clip) -> float:
        return self._own_rate(clip) * self._factors.get(clip.source, 1.0)

    def _own_rate(self, clip: Clip) -> float:
        return rate(self.config.repeats, clip)

    def _draw(self, index: int, random: np.random.Generator) -> Draw | None:
        clip = self.clips[index]
        gain_db = float(random.uniform(*_GAIN_DB))
        if clip.kind != "speech" and self._speech and random.random() < self.config.mixed_share:
            return self._mixed_draw(index, gain_db, random)
        example = self._choose(examples(clip), random)
        if example is None:
            return None
        draw = Draw(index, example, clip.duration_seconds, gain_db)
        if self.config.joined_share and example.task == "transcribe" and random.random() < self.config.joined_share:
            return self._joined(draw, random)
        return draw

    @cached_property
    def _alike(self) -> dict[tuple[str, str | None], list[int]]:
        """Speech with transcripts that is drawn, by source and language."""
        found: dict[tuple[str, str | None], list[int]] = {}
        for index in self._speech:
            if self.clips[index].transcript:
                found.setdefault((self.clips[index].source, self.clips[index].language), []).append(index)
        return found

    def _joined(self, draw: Draw, random: np.random.Generator) -> Draw:
        """A transcription with others behind it, as long as chance has it: up to one too long, or there already."""
        first = self.clips[draw.index]
        alike = self._alike[first.source, first.language]
        longest = random.uniform(draw.duration_seconds, self.config.max_clip_seconds)
        whole = draw
        while len(whole.in_a_row()) < _MOST_IN_A_ROW:
            index = alike[int(random.integers(len(alike)))]
            longer = self._followed(draw, (*whole.followers, Follower(index, float(random.uniform(*_PAUSE_SECONDS)))))
            if index in whole.in_a_row() or longer.duration_seconds > longest:
                break
            whole = longer
        while whole.followers and not self._fits(whole):
            whole = self._followed(draw, whole.followers[:-1])
        return whole

    def _followed(self, draw: Draw, followers: tuple[Follower, ...]) -> Draw:
        seconds = draw.duration_seconds
        for clip, pause in followers:
            seconds += pause + self.clips[clip].duration_seconds
        whole = replace(draw, followers=followers, duration_seconds=seconds)
        return replace(whole, example=replace(draw.example, answer=whole.transcript(self.clips)))

    def _mixed_draw(self, background: int, gain_db: float, random: np.random.Generator) -> Draw | None:
        speech = self._speech[_pick(self._speech_bounds, random)]
        over, under = self.clips[speech], self.clips[background]
        found = [example for example in examples(over) if example.task not in ("caption", "tag", "kind")]
        if over.captions and under.captions:
            caption = join_captions(str(random.choice(over.captions)), str(random.choice(under.captions)))
            found.append(Example("caption", prompts.styled("caption"), caption))
        if under.labels:
            found.append(
                Example("tag", prompts.styled("tag"), join_labels((*(over.labels or ("speech",)), *under.labels)))
            )
        example = self._choose(found, random)
        if example is None:
            return None
        background_db = float(random.uniform(*_BACKGROUND_DB))
        return Draw(speech, example, over.duration_seconds, gain_db, background, background_db)

    def _choose(self, found: list[Example], random: np.random.Generator) -> Example | None:
        """One example: first a task by its weight, then any of that task's examples."""
        tasks = sorted({example.task for example in found})
        bounds = list(accumulate(self.config.weight(task) for task in tasks))
        if not tasks or bounds[-1] == 0:
            return None
        task = tasks[_pick(bounds, random)]
        of_task = [example for example in found if example.task == task]
        return of_task[int(random.integers(len(of_task)))]


def _pick(bounds: Sequence[float], random: np.random.Generator) -> int:
    """A number, by weights whose running sums are ``bounds``; numpy's own choice takes most of the time of a plan."""
    return min(bisect(bounds, random.random() * bounds[-1]), len(bounds) - 1)

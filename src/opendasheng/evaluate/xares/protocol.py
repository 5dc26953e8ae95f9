"""One task from data to scores: embed, train a head for each seed, ask the neighbours."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from opendasheng.data.spelling import Spelling, frequent_characters
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares import asr, metrics, retrieval, spelling
from opendasheng.evaluate.xares import linear as heads
from opendasheng.evaluate.xares.dataset import (
    Dataset,
    Split,
    class_numbers,
    classes_of,
    frame_matrix,
    label_of,
    tag_matrix,
)
from opendasheng.evaluate.xares.embeddings import Embeddings, Tell, embed
from opendasheng.evaluate.xares.encoder import HOP_MILLISECONDS, XaresEncoder
from opendasheng.evaluate.xares.knn import knn_accuracy
from opendasheng.evaluate.xares.tasks import Reading, Task

_BOOTSTRAPS = 500
# Of a character, that a layer can learn it.
_FEWEST_OCCURRENCES = 2


def quiet(_: str) -> None:
    """Say nothing of progress."""


@dataclass(frozen=True)
class Settings:
    """How tasks are run. ``seeds`` each train a head; a folder or hub id names the frozen LM (asr) and the tokenizer
    (retrieval; None for the words of the training captions). ``tell`` is given a line now and then.
    """

    cache: Path
    reading: Reading = "compat"
    seeds: tuple[int, ...] = (42,)
    language_model: str | None = None
    tokenizer: str | None = None
    tell: Tell = quiet


@dataclass(frozen=True)
class TaskScore:
    """Scores of one encoder on one task, from 0 to 1. ``mlp`` is the mean over ``mlp_by_seed``, which for a task with
    folds are means over folds. ``majority`` is the accuracy of the most common training class. ``weight`` is what the
    score weighs in averages, ``num_items`` the crops (clips where there are none) of each split. ``interval`` holds
    95 % of the scores of the first seed's head when test clips are drawn anew, for clip and spelling tasks without
    folds.
    """

    task: Task
    mlp: float
    mlp_by_seed: tuple[float, ...]
    knn: float | None
    majority: float | None
    weight: int
    num_items: dict[str, int]
    interval: tuple[float, float] | None = None
    num_classes: int | None = None
    epochs: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


class Part(NamedTuple):
    """One split with its embeddings and the label of each item."""

    split: Split
    items: Embeddings
    labels: list[Any]


class Fit(NamedTuple):
    """What one head scores in test, and the epoch (from 1) that it is of."""

    score: float
    epoch: int
    interval: tuple[float, float] | None = None


class Scores(NamedTuple):
    """What one division into training and test gave, a fit for each seed."""

    fits: tuple[Fit, ...]
    knn: float | None
    majority: float | None


def run_task(encoder: XaresEncoder, dataset: Dataset, settings: Settings) -> TaskScore:
    """Score an encoder on one task.

    Raises :class:`EvaluationError` for data that do not fit the task, an empty split, or an asr task without
    ``language_model``.
    """
    return _Run(encoder, dataset, settings).score()


class _Run:
    def __init__(self, encoder: XaresEncoder, dataset: Dataset, settings: Settings) -> None:
        self.encoder = encoder
        self.dataset = dataset
        self.settings = settings
        self._parts: dict[str, Part] = {}
        self._notes: list[str] = []

    @property
    def task(self) -> Task:
        return self.dataset.task

    def score(self) -> TaskScore:
        if self.task.kind == "asr" and self.settings.language_model is None:
            raise EvaluationError(
                f"{self.task.name}: an asr task needs a frozen language model: --language-model FOLDER"
            )
        folds = self.task.folds
        if folds:
            rounds = [self._round([f for f in folds if f != fold], fold, fold) for fold in folds]
        else:
            rounds = [self._round(["train"], "valid", "test")]
        by_seed = tuple(float(x) for x in np.mean([[fit.score for fit in found.fits] for found in rounds], axis=0))
        return TaskScore(
            task=self.task,
            mlp=float(np.mean(by_seed)),
            mlp_by_seed=by_seed,
            knn=_mean([found.knn for found in rounds]),
            majority=_mean([found.majority for found in rounds]),
            weight=self.task.weight or sum(len(self._part(name).split.samples) for name in folds or ["test"]),
            num_items={name: len(part.items) for name, part in self._parts.items()},
            interval=None if folds else rounds[0].fits[0].interval,
            num_classes=len(self._classes) or None,
            epochs=tuple(fit.epoch for found in rounds for fit in found.fits),
            notes=(*self._notes, *(note for part in self._parts.values() for note in part.split.notes)),
        )

    def _part(self, name: str) -> Part:
        if name not in self._parts:
            split = self.dataset.split(name)
            labels = [label_of(self.task, sample) for sample in split.samples]
            settings = self.settings
            items = embed(self.encoder, self.task, name, split, settings.reading, settings.cache, settings.tell)
            self._parts[name] = Part(split, items, [labels[sample] for sample in items.samples])
        return self._parts[name]

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """The classes of all splits: one that training lacks is answered wrongly, and is no error."""
        if self.task.kind not in ("clip", "tags", "frame"):
            return ()
        return classes_of(self.task, [label for name in self.task.splits for label in self._part(name).labels])

    def _round(self, train: Sequence[str], valid: str, test: str) -> Scores:
        """Train on some splits and test on one. ``strict`` never chooses an epoch by what it tests: it takes the last
        where validation and test are the same data, as in folds.
        """
        same = self.task.splits[valid] == self.task.splits[test]
        chooses = len(self._part(valid).items) > 0 and not (same and self.settings.reading == "strict")
        if not len(self._part(valid).items):
            self._notes.append(f"{valid}: there are no clips, so the last epoch is taken")
        if not len(self._part(test).items):
            raise EvaluationError(f"{self.task.name}: there is nothing to test on in {self.task.splits[test]}")
        fit = {"retrieval": self._fit_retrieval, "asr": self._fit_asr, "spelling": self._fit_spelling}
        found = []
        for seed in self.settings.seeds:
            found.append(fit.get(self.task.kind, self._fit_linear)(train, valid if chooses else None, test, seed))
            self.settings.tell(f"{self.task.name}, {test}: {self.task.metric} {found[-1].score:.4f} with seed {seed}")
        return Scores(tuple(found), self._knn(train, test), self._majority(train, test))

    def _fit_linear(self, train: Sequence[str], valid: str | None, test: str, seed: int) -> Fit:
        task, training = self.task, self.task.training
        examples = {name: self._examples([name]) for name in {valid, test} if name is not None}

        def score(head: nn.Module, name: str) -> float:
            found = examples[name]
            if isinstance(found, heads.Clips):
                return self._clip_score(heads.predict(head, found, training.batch_size), found.y.numpy())
            pooled = metrics.frames_of(task.segment_seconds, HOP_MILLISECONDS / 1000)
            return heads.score_frames(head, found, training.batch_size, pooled, task.metric, self.settings.reading)

        loss = heads.class_loss if task.kind == "clip" else heads.TagLoss(training.positive_weight)
        head = heads.linear_head(self.encoder.output_dim, len(self._classes), seed)
        chooser = None if valid is None else partial(score, name=valid)
        fitted = heads.fit(head, self._examples(train), loss, chooser, training, seed)
        tested, interval = examples[test], None
        # Not of mAP: a class of few clips has a higher one in most resamples, where they come twice.
        if task.kind == "clip" and isinstance(tested, heads.Clips) and self._wants_interval(seed):
            logits, truth = heads.predict(fitted.head, tested, training.batch_size), tested.y.numpy()
            interval = self._interval(test, lambda items: metrics.accuracy(logits[items], truth[items]))
        return Fit(score(fitted.head, test), fitted.epoch, interval)

    def _clip_score(self, logits: metrics.Floats, truth: Any) -> float:
        if self.task.kind == "clip":
            return metrics.accuracy(logits, truth)
        return metrics.mean_average_precision(logits, truth, self.settings.reading)

    def _wants_interval(self, seed: int) -> bool:
        return not self.task.folds and seed == self.settings.seeds[0]

    def _interval(self, test: str, score: Callable[[metrics.Ints], float]) -> tuple[float, float]:
        """Of the ``score`` of items of a split, by a bootstrap over clips, whose crops stay together."""
        samples = self._part(test).items.samples
        crops = [np.flatnonzero(samples == sample) for sample in np.unique(samples)]
        random = np.random.default_rng(0)
        values = []
        for _ in range(_BOOTSTRAPS):
            drawn = np.concatenate([crops[i] for i in random.integers(len(crops), size=len(crops))])
            values.append(score(drawn))
        low, high = np.percentile(values, [2.5, 97.5])
        return float(low), float(high)

    def _examples(self, names: Sequence[str]) -> heads.Clips | heads.Frames:
        labels = self._labels(names)
        if self.task.kind == "frame":
            frames = self._frames(names)
            hop_seconds = HOP_MILLISECONDS / 1000
            targets = [
                frame_matrix(events, self._classes, len(x), hop_seconds)
                for events, x in zip(labels, frames, strict=True)
            ]
            return heads.Frames(frames, targets, self.settings.reading)
        numbers = class_numbers if self.task.kind == "clip" else tag_matrix
        return heads.Clips(self._means(names), torch.from_numpy(numbers(labels, self._classes)))

    def _labels(self, names: Sequence[str]) -> list[Any]:
        return [label for name in names for label in self._part(name).labels]

    def _frames(self, names: Sequence[str]) -> list[metrics.Floats]:
        parts = [self._part(name) for name in names]
        return [part.items.frames(item) for part in parts for item in range(len(part.items))]

    def _means(self, names: Sequence[str]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([self._part(name).items.matrix() for name in names]))

    def _fit_retrieval(self, train: Sequence[str], valid: str | None, test: str, seed: int) -> Fit:
        captions = [caption for name in train for texts in self._part(name).labels for caption in texts]
        named = self.settings.tokenizer
        vocabulary = retrieval.pieces_of(named) if named else retrieval.words_of(captions)

        def pairs(names: Sequence[str]) -> retrieval.Pairs:
            texts = [texts for name in names for texts in self._part(name).labels]
            owned = [(owner, caption) for owner, captions in enumerate(texts) for caption in captions]
            tokens = [vocabulary.encode(caption) for _, caption in owned]
            return retrieval.Pairs(self._means(names), tokens, [owner for owner, _ in owned])

        size = self.task.training.batch_size
        head = retrieval.retrieval_head(self.encoder.output_dim, vocabulary, seed)
        chooser = None if valid is None else partial(retrieval.score_pairs, pairs=pairs([valid]), batch_size=size)
        examples = retrieval.PairExamples(pairs(train))
        fitted = heads.fit(head, examples, retrieval.contrastive_loss, chooser, self.task.training, seed)
        return Fit(retrieval.score_pairs(fitted.head, pairs([test]), size), fitted.epoch)

    def _fit_asr(self, train: Sequence[str], valid: str | None, test: str, seed: int) -> Fit:
        def spoken(names: Sequence[str]) -> asr.Spoken:
            return asr.Spoken(self._frames(names), self._labels(names), self._lm)

        size = self.task.training.batch_size
        head = asr.adapter(self.encoder.output_dim, self._lm, seed)
        chooser = None if valid is None else partial(asr.score_forced, spoken=spoken([valid]), batch_size=size)
        fitted = heads.fit(head, spoken(train), asr.TextLoss(self._lm), chooser, self.task.training, seed)
        tested = spoken([test])
        return Fit(metrics.one_minus_wer(asr.transcribe(fitted.head, tested), tested.texts), fitted.epoch)

    def _fit_spelling(self, train: Sequence[str], valid: str | None, test: str, seed: int) -> Fit:
        def spelt(names: Sequence[str], by: Spelling) -> spelling.Spelt:
            return spelling.Spelt(self._frames(names), self._labels(names), by)

        size = self.task.training.batch_size
        by = Spelling(frequent_characters(self._labels(train), _FEWEST_OCCURRENCES))
        tested, validated = spelt([test], by), None if valid is None else spelt([valid], by)
        head = heads.linear_head(self.encoder.output_dim, len(by.characters) + 1, seed)

        def score(head: nn.Module) -> float:
            assert validated is not None
            return metrics.one_minus_cer(spelling.count_errors(head, validated, size))

        chooser = None if validated is None else score
        fitted = heads.fit(head, spelt(train, by), spelling.spelling_loss, chooser, self.task.training, seed)
        counts = spelling.count_errors(fitted.head, tested, size)
        interval = None
        if self._wants_interval(seed):
            interval = self._interval(test, lambda items: metrics.one_minus_cer(counts[items]))
        return Fit(metrics.one_minus_cer(counts), fitted.epoch, interval)

    @cached_property
    def _lm(self) -> asr.LanguageModel:
        assert self.settings.language_model is not None
        return asr.load_language_model(self.settings.language_model, self.encoder.device)

    def _knn(self, train: Sequence[str], test: str) -> float | None:
        if not self.task.knn or self.task.kind != "clip":
            return None
        known, asked = self._examples(train), self._examples([test])
        assert isinstance(known, heads.Clips)
        assert isinstance(asked, heads.Clips)
        return knn_accuracy(
            known.x.numpy(),
            known.y.numpy(),
            asked.x.numpy(),
            asked.y.numpy(),
            num_classes=len(self._classes),
            reading=self.settings.reading,
        )

    def _majority(self, train: Sequence[str], test: str) -> float | None:
        if self.task.kind != "clip":
            return None
        counts = Counter(label for name in train for label in self._part(name).labels)
        common = min(counts, key=lambda label: (-counts[label], label))
        return float(np.mean([label == common for label in self._part(test).labels]))


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None

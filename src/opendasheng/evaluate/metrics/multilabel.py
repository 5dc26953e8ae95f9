"""Mean average precision of answers that list labels.

An answer has no scores, only labels that it names or not, so the average precision of a label has a closed form: with
precision P and recall R of its 0/1 predictions it is P R + (1 - R) x the label's share of rows (EVALUATION.md
section 2; equal to scikit-learn's to all digits).
"""

import re
from collections.abc import Set
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from opendasheng.evaluate.metrics.answers import Lists, Texts
from opendasheng.evaluate.metrics.base import Floats, Metric, Outcome
from opendasheng.evaluate.metrics.text import Finder, words
from opendasheng.evaluate.rows import Row

Ints = NDArray[np.int32]

_JOINING = frozenset({"and", "&"})
_PARTS = re.compile(r"[;\n]")
_ROWS_AT_ONCE = 2**17


class MultiLabelMAP(Metric):
    """Fields: ``label`` (a list, which may be empty), ``model_output``, ``model_name``, ``dataset_name``.

    ``compat`` splits answers by rules that depend on the name of the model and of the data set, as published, and
    ignores what is no label of the file. ``strict`` finds the labels of the file in the answer by whole words, the
    longest first, whoever gave it; commas, "and" and underscores do not matter.
    """

    name: ClassVar[str] = "multi_label_map"
    version: ClassVar[int] = 1
    parser: ClassVar[str] = "labels"

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        # Answers by their parts, of which there are few where answers are lists of labels.
        self._names, self._labels, self._parts = Texts(), Texts(), Texts()
        self._wanted, self._split, self._spelled, self._given = Lists(), Lists(), Lists(), Lists()

    def add(self, row: Row) -> None:
        """Take one answer."""
        labels = [] if row.fields.get("label") == [] else row.texts("label")
        answer = row.text("model_output")
        split = published_split(answer.lower(), row.text("model_name"), row.text("dataset_name"))
        self._wanted.add({self._names.number(label.lower()) for label in labels})
        self._split.add({self._names.number(label) for label in split})
        self._spelled.add(self._labels.number(label) for label in labels)
        self._given.add({self._parts.number(part) for part in _PARTS.split(answer)})

    def outcome(self) -> Outcome:
        """Both figures, with macro and micro F1 of each as details."""
        names = self._names.all()
        known = sorted(np.unique(self._wanted.numbers()).tolist(), key=names.__getitem__)
        is_known = np.zeros(len(names), dtype=np.bool_)
        is_known[known] = True
        outside = int((~is_known[self._split.numbers()]).sum())
        del names, is_known
        compat = Tally.of(self._wanted, self._split, known)
        wanted, found, num_labels = self._by_words()
        num_unparsed = int((found.lengths() == 0).sum())
        strict = Tally.of(wanted, found, list(range(num_labels)))
        del wanted, found
        return Outcome(
            compat=compat,
            strict=strict,
            row_scores=strict.row_f1(),
            num_unparsed=num_unparsed,
            details={
                "num_labels": len(known),
                "num_outside": outside,
                **compat.f1(),
                **{f"strict_{name}": value for name, value in strict.f1().items()},
            },
        )

    def _by_words(self) -> tuple[Lists, Lists, int]:
        """Wanted and found labels of each row by whole words, and how many labels there are."""
        # Labels that differ in case, underscores or "and" alone are one label.
        spellings = self._labels.all()
        by_words = {_spelled(name) or (name,): name for name in sorted(spellings)}
        chosen = sorted(by_words.values())
        finder = Finder(chosen, _JOINING)
        of_label = [sorted(finder.find(name)[0]) for name in spellings]
        exact = {spelled: number for number, name in enumerate(chosen) if (spelled := _spelled(name))}
        of_part = Lists()
        for part in self._parts.each():
            of_part.add(_named(part, finder, exact))
        wanted, found = Lists(), Lists()
        for row in range(len(self._given)):
            wanted.add({n for label in self._spelled[row] for n in of_label[label]})
            found.add({n for part in self._given[row] for n in of_part[part]})
        return wanted, found, len(chosen)


def _spelled(text: str) -> tuple[str, ...]:
    return tuple(word for word in words(text) if word not in _JOINING)


def _named(part: str, finder: Finder, exact: dict[tuple[str, ...], int]) -> Set[int]:
    """Numbers of the labels that a part of an answer names: its pieces, where each is one, else what is found in it."""
    pieces = [spelled for piece in part.split(",") if (spelled := _spelled(piece))]
    if pieces and all(piece in exact for piece in pieces):
        return {exact[piece] for piece in pieces}
    return finder.find(part)[0]


def published_split(answer: str, model_name: str, dataset_name: str) -> list[str]:
    """The labels of a lower-case answer by the published rules, which differ by model and for FSD50K."""
    model = model_name.lower()
    is_fsd50k = dataset_name == "FSD50K"
    if "qwen" in model:
        parts = [part.strip().replace("_", " ") for part in answer.split(";" if ";" in answer else ",")]
        return [part.replace(" - ", " and " if is_fsd50k else ", ") for part in parts]
    if "kimi" in model:
        return [part.strip().replace("_", " ") for part in answer.split(",")]
    parts = [part.strip() for part in answer.split(";")]
    return [part.replace(", and ", " and ").replace(", ", " and ") for part in parts] if is_fsd50k else parts


class Tally:
    """Wanted and found labels as pairs of row and label, of which weighted counts are quick."""

    def __init__(self, num_rows: int, num_labels: int, wanted: Ints, found: Ints, both: Ints) -> None:
        """``wanted``, ``found`` and ``both`` are int32 ``(2, N)``: rows above labels, by row."""
        self.num_rows, self.num_labels = num_rows, num_labels
        self.wanted, self.found, self.both = wanted, found, both

    @classmethod
    def of(cls, wanted: Lists, found: Lists, labels: list[int]) -> "Tally":
        """Of two lists for each row, of which only ``labels`` count, in that order."""
        numbers = [lists.numbers() for lists in (wanted, found)]
        place = np.full(int(max([*(each.max(initial=-1) for each in numbers), *labels])) + 1, -1, dtype=np.int32)
        place[labels] = np.arange(len(labels))
        pairs, others = (_pairs(lists, values, place) for lists, values in zip((wanted, found), numbers, strict=True))
        both = _common(pairs, others, len(labels), len(wanted))
        return cls(len(wanted), len(labels), pairs, others, both)

    def __call__(self, weights: Floats | None = None) -> float:
        """Macro average precision as a share; labels that no weighted row has are left out."""
        positives, predicted, right = (self._counts(pairs, weights) for pairs in (self.wanted, self.found, self.both))
        total = self.num_rows if weights is None else float(weights.sum())
        there = positives > 0
        if not there.any():
            return 0.0
        positives, predicted, right = positives[there], predicted[there], right[there]
        precision = np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0)
        recall = right / positives
        return float(np.mean((1 - recall) * (positives / total) + recall * precision))

    def _counts(self, pairs: Ints, weights: Floats | None) -> Floats:
        weight = None if weights is None else weights[pairs[0]]
        return np.bincount(pairs[1], weight, minlength=self.num_labels).astype(np.float64)

    def f1(self) -> dict[str, float]:
        """Macro and micro F1 in percent."""
        positives, predicted, right = (self._counts(pairs, None) for pairs in (self.wanted, self.found, self.both))
        macro = np.divide(2 * right, positives + predicted, out=np.zeros_like(right), where=positives + predicted > 0)
        micro = 2 * right.sum() / max(1.0, float(positives.sum() + predicted.sum()))
        return {
            "macro_f1": 100 * float(macro.mean()) if len(macro) else 0.0,
            "micro_f1": 100 * float(micro),
        }

    def row_f1(self) -> Floats:
        """F1 of each row, 1 where nothing was wanted and nothing found."""
        wanted, found, both = (
            np.bincount(pairs[0], minlength=self.num_rows).astype(np.float64)
            for pairs in (self.wanted, self.found, self.both)
        )
        return np.divide(2 * both, wanted + found, out=np.ones(self.num_rows), where=wanted + found > 0)


def _pairs(lists: Lists, numbers: Ints, place: Ints) -> Ints:
    """int32 ``(2, N)``: row and place of each number that has a place."""
    columns = place[numbers]
    kept = columns >= 0
    rows = np.repeat(np.arange(len(lists), dtype=np.int32), lists.lengths())
    return np.stack([rows[kept], columns[kept]])


def _common(wanted: Ints, found: Ints, num_labels: int, num_rows: int) -> Ints:
    """The pairs of ``found`` that are in ``wanted`` too; some rows at a time, since comparing takes room."""
    common = []
    for first in range(0, num_rows, _ROWS_AT_ONCE):
        keys, parts = [], []
        for pairs in (wanted, found):
            begin, end = np.searchsorted(pairs[0], [first, first + _ROWS_AT_ONCE])
            parts.append(pairs[:, begin:end])
            keys.append(parts[-1][0].astype(np.int64) * max(1, num_labels) + parts[-1][1])
        common.append(parts[1][:, np.isin(keys[1], keys[0])])
    return np.concatenate(common, axis=1) if common else np.zeros((2, 0), dtype=np.int32)

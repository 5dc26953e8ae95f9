"""What experts of curation report, beside what a corpus knows of its clips.

Findings are read from ``records.jsonl`` of ``opendasheng curate``, which never saw what the corpus knows.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendasheng.data.clip import Clip
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.base import Floats, Ratio
from opendasheng.evaluate.rows import Row, read_rows
from opendasheng.evaluate.statistics import interval

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Judged:
    """Of one aspect: ``num_clips`` that the corpus knows it of, ``num_told`` of which an expert spoke, and the figure
    over those (for error rates over all: silence is a deletion), a share with its 95 % interval over clips."""

    aspect: str
    metric: str
    num_clips: int
    num_told: int
    value: float
    low: float
    high: float


Pair = tuple[Clip, Mapping[str, Any]]
"""A clip of the corpus with its record."""


def read_pairs(records: str | Path, clips: Sequence[Clip]) -> list[Pair]:
    """Records with the clips that they are of, those that the corpus has. Raises :class:`EvaluationError` for a file
    that holds something else, or nothing of this corpus."""
    by_id = {clip.id: clip for clip in clips}
    found: list[Pair] = []
    for row in read_rows(records):
        if not isinstance(row.fields.get("findings", {}), dict):
            raise row.error("this is no record of curation; name records.jsonl of a run")
        clip = by_id.get(row.text("id"))
        if clip is not None:
            found.append((clip, row.fields))
    if not found:
        raise EvaluationError(f"{records}: none of its clips is in this corpus; name by --data the one it was made of")
    return found


def judge(pairs: Sequence[Pair]) -> list[Judged]:
    """Every aspect that the corpus knows of some clip and an expert has spoken of."""
    aspects: tuple[tuple[str, Callable[[Clip], Any], Callable[[Mapping[str, Any]], Any]], ...] = (
        ("speech, music or sound, by category", lambda clip: clip.kind, _kind),
        ("language of speech", lambda clip: clip.language if clip.kind == "speech" else None, _value("language")),
        ("gender of a voice", lambda clip: clip.gender, _value("voice_gender")),
        ("one speaker, of one", lambda clip: 1 if clip.speaker else None, _value("num_speakers")),
    )
    found = [_share(name, [(truth(clip), told(record)) for clip, record in pairs]) for name, truth, told in aspects]
    for kind, name in (("music", "instrument or music"), ("sound", "sound")):
        both = [(set(clip.labels), _tags(record)) for clip, record in pairs if clip.kind == kind and clip.labels]
        found.append(_named(f"a label of the {name} among the tags", both))
    found += _transcripts(pairs)
    return [judged for judged in found if judged is not None and judged.num_told]


def _share(aspect: str, both: Sequence[tuple[Any, Any]]) -> Judged | None:
    """How often what is told is true, of the clips of which it is known and told."""
    known = [(truth, told) for truth, told in both if truth is not None]
    right = np.array([float(truth == told) for truth, told in known if told is not None])
    return _judged(aspect, "accuracy", len(known), right, np.ones(len(right)))


def _named(aspect: str, both: Sequence[tuple[set[str], list[str]]]) -> Judged | None:
    """How often a tag shares all words of a label, of the clips that have tags."""
    right = np.array(
        [
            float(any(_words(label) and _words(label) <= _words(tag) for label in labels for tag in tags))
            for labels, tags in both
            if tags
        ]
    )
    return _judged(aspect, "share", len(both), right, np.ones(len(right)))


def _transcripts(pairs: Sequence[Pair]) -> Iterator[Judged | None]:
    """Word error rates by language, by the published normalisation."""
    told = _value("transcript")
    for language in sorted({clip.language for clip, _ in pairs if clip.language and clip.transcript}):
        metric = make_metric("wer", 1)
        both = [(clip.transcript, told(record) or "") for clip, record in pairs if clip.language == language]
        known = [(truth, answer) for truth, answer in both if truth]
        for number, (truth, answer) in enumerate(known, 1):
            metric.add(Row("records", number, {"text": truth, "model_output": answer, "lang": language}))
        figure = metric.outcome().strict
        assert isinstance(figure, Ratio)
        num_told = sum(bool(answer) for _, answer in known)
        name = f"transcript, {language}"
        yield _judged(name, "word error rate", len(known), figure.numerators, figure.denominators, num_told)


def _judged(
    aspect: str, metric: str, num_clips: int, numerators: Floats, denominators: Floats, num_told: int | None = None
) -> Judged | None:
    if not len(numerators):
        return None
    figure = Ratio(numerators, denominators)
    [(low, high)] = interval([figure], np.arange(len(numerators), dtype=np.uint64))
    return Judged(aspect, metric, num_clips, len(numerators) if num_told is None else num_told, figure(), low, high)


def _value(aspect: str) -> Callable[[Mapping[str, Any]], Any]:
    """What the first expert that speaks of an aspect says; None where none does."""

    def told(record: Mapping[str, Any]) -> Any:
        values = (found.get("values", {}) for found in record.get("findings", {}).values())
        return next((value[aspect] for value in values if aspect in value), None)

    return told


def _kind(record: Mapping[str, Any]) -> str | None:
    category = record.get("category")
    return str(category).split()[-1] if category else None


def _tags(record: Mapping[str, Any]) -> list[str]:
    return list(_value("tags")(record) or [])


def _words(text: str) -> set[str]:
    return {match.group().lower() for match in _WORD.finditer(text)}

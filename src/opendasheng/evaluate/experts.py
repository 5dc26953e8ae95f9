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
from opendasheng.evaluate.metrics.base import Floats, Ratio, Statistic
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
    for row in read_records(records):
        clip = by_id.get(row.text("id"))
        if clip is not None:
            found.append((clip, row.fields))
    if not found:
        raise EvaluationError(f"{records}: none of its clips is in this corpus; name by --data the one it was made of")
    return found


def read_records(path: str | Path) -> Iterator[Row]:
    """The records of a run of curation. Raises :class:`EvaluationError` for a file that holds something else."""
    for row in read_rows(path):
        if not isinstance(row.fields.get("findings", {}), dict):
            raise row.error("this is no record of curation; name records.jsonl of a run")
        yield row


def judge(pairs: Sequence[Pair]) -> list[Judged]:
    """Every aspect that the corpus knows of some clip and an expert has spoken of."""
    aspects: tuple[tuple[str, Callable[[Clip], Any], Callable[[Mapping[str, Any]], Any]], ...] = (
        ("speech, music or sound, by category", lambda clip: clip.kind, _kind),
        ("language of speech", lambda clip: clip.language if clip.kind == "speech" else None, value_of("language")),
        ("gender of a voice", lambda clip: clip.gender, value_of("voice_gender")),
        ("one speaker, of one", lambda clip: 1 if clip.speaker else None, value_of("num_speakers")),
    )
    found = [_share(name, [(truth(clip), told(record)) for clip, record in pairs]) for name, truth, told in aspects]
    for kind, name in (("music", "instrument or music"), ("sound", "sound")):
        both = [(set(clip.labels), _tags(record)) for clip, record in pairs if clip.kind == kind and clip.labels]
        found.append(_named(f"a label of the {name} among the tags", both))
    found += _transcripts(pairs)
    return [one for one in found if one is not None and one.num_told]


def _share(aspect: str, both: Sequence[tuple[Any, Any]]) -> Judged | None:
    """How often what is told is true, of the clips of which it is known and told."""
    known = [(truth, told) for truth, told in both if truth is not None]
    right = np.array([float(truth == told) for truth, told in known if told is not None])
    return judged(aspect, "accuracy", share_of(right), num_clips=len(known), num_told=len(right))


def _named(aspect: str, both: Sequence[tuple[set[str], list[str]]]) -> Judged | None:
    """How often a tag shares all words of a label, of the clips that have tags."""
    right = np.array(
        [
            float(any(_words(label) and _words(label) <= _words(tag) for label in labels for tag in tags))
            for labels, tags in both
            if tags
        ]
    )
    return judged(aspect, "share", share_of(right), num_clips=len(both), num_told=len(right))


def _transcripts(pairs: Sequence[Pair]) -> Iterator[Judged | None]:
    """Word error rates by language, by the published normalisation."""
    told = value_of("transcript")
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
        yield judged(name, "word error rate", figure, num_clips=len(known), num_told=num_told, num_rows=len(known))


def share_of(right: Floats) -> Ratio:
    """How many of the rows are 1."""
    return Ratio(right, np.ones(len(right)))


def judged(
    aspect: str, metric: str, figure: Statistic, *, num_clips: int, num_told: int, num_rows: int | None = None
) -> Judged | None:
    """``figure`` of ``num_rows`` (those that are told of) with its interval over them; None where there are none."""
    num_rows = num_told if num_rows is None else num_rows
    if not num_rows:
        return None
    [(low, high)] = interval([figure], np.arange(num_rows, dtype=np.uint64))
    return Judged(aspect, metric, num_clips, num_told, figure(), low, high)


def value_of(aspect: str) -> Callable[[Mapping[str, Any]], Any]:
    """A function of a record: what the first expert that speaks of an aspect says; None where none does."""

    def told(record: Mapping[str, Any]) -> Any:
        values = (found.get("values", {}) for found in record.get("findings", {}).values())
        return next((value[aspect] for value in values if aspect in value), None)

    return told


def _kind(record: Mapping[str, Any]) -> str | None:
    category = record.get("category")
    return str(category).split()[-1] if category else None


def _tags(record: Mapping[str, Any]) -> list[str]:
    return list(value_of("tags")(record) or [])


def _words(text: str) -> set[str]:
    return {match.group().lower() for match in _WORD.finditer(text)}

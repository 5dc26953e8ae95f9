"""What experts of curation report of clips whose measures are known because they were made so
(``opendasheng corpus known``): reverberation, noise behind speech, and tempo.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.experts import Judged, judged, read_records, share_of, value_of
from opendasheng.evaluate.metrics.base import Floats, Ratio
from opendasheng.evaluate.rows import read_rows

MANIFEST = "known.jsonl"
# As MIREX counts a tempo: within 4 %, and by the second count also at another level of the meter.
_TEMPO_TOLERANCE = 0.04
_METRES = (1.0, 2.0, 3.0, 1 / 2, 1 / 3)
_WITHIN_A_HALF = 1.5

Both = Sequence[tuple[float, float]]
"""What is known of clips, and what is told of them."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's, a :class:`~opendasheng.evaluate.metrics.base.Statistic` of ranks float64 ``(num_rows,)``."""

    first: Floats
    second: Floats

    def __call__(self, weights: Floats | None = None) -> float:
        """The correlation, from -1 to 1; 0 where one of both is the same for all."""
        weights = np.ones(len(self.first)) if weights is None else weights
        first, second = (ranks - np.average(ranks, weights=weights) for ranks in (self.first, self.second))
        spread = float(np.sqrt((weights * first**2).sum() * (weights * second**2).sum()))
        return float((weights * first * second).sum()) / spread if spread else 0.0


def judge_known(records: str | Path, folder: str | Path) -> list[Judged]:
    """Every measure that is known of clips in ``folder`` and that an expert has told.

    Raises :class:`EvaluationError` for a file that is no manifest, or records of other clips.
    """
    known = {row.text("recording"): row.fields for row in read_rows(Path(folder) / MANIFEST)}
    pairs = []
    for row in read_records(records):
        figures = known.get(row.optional_text("recording") or "")
        if figures is not None:
            pairs.append((figures, row.fields))
    if not pairs:
        raise EvaluationError(
            f"{records}: none of its clips is of {folder}; name by --known the folder that was curated"
        )
    found = [_judged(aspect, name, told, figure, pairs) for aspect, name, told, figure in _ASPECTS]
    return [one for one in found if one is not None]


def _judged(
    aspect: str, name: str, told: str, figure: "Figure", pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> Judged | None:
    of = value_of(told)
    known = [(float(figures[name]), of(record)) for figures, record in pairs if name in figures]
    both = [(truth, float(value)) for truth, value in known if value is not None]
    if not both:
        return None
    metric, statistic = figure(both)
    return judged(aspect, metric, statistic, num_clips=len(known), num_told=len(both))


def _order(both: Both) -> tuple[str, RankCorrelation]:
    from scipy.stats import rankdata

    truths, told = zip(*both, strict=True)
    return "rank correlation", RankCorrelation(rankdata(truths), rankdata(told))


def _near(is_near: Callable[[float, float], bool]) -> "Figure":
    def share(both: Both) -> tuple[str, Ratio]:
        return "share", share_of(np.array([float(is_near(truth, told)) for truth, told in both]))

    return share


def _is_tempo(truth: float, told: float, metres: Sequence[float] = (1.0,)) -> bool:
    return any(abs(told - metre * truth) <= _TEMPO_TOLERANCE * metre * truth for metre in metres)


Figure = Callable[[Both], tuple[str, RankCorrelation | Ratio]]
"""The name of a metric with its figure."""

_ASPECTS: tuple[tuple[str, str, str, Figure], ...] = (
    ("reverberation of speech in rooms", "rt60_seconds", "rt60_seconds", _order),
    (
        "reverberation time, within a half of it",
        "rt60_seconds",
        "rt60_seconds",
        _near(lambda truth, told: truth / _WITHIN_A_HALF <= told <= truth * _WITHIN_A_HALF),
    ),
    ("noise behind speech, by quality of the background", "snr_db", "background_quality_mos", _order),
    ("tempo, within 4 %", "tempo_bpm", "tempo_bpm", _near(_is_tempo)),
    (
        "tempo, or half, double, a third or three times it",
        "tempo_bpm",
        "tempo_bpm",
        _near(lambda truth, told: _is_tempo(truth, told, _METRES)),
    ),
)

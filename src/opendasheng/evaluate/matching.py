"""How well an audio-text model tells a clip's own caption from another's, and finds one by the other.

Shapes: N clips with a caption each.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendasheng.data.clip import KINDS, Clip
from opendasheng.data.shards import ShardReader
from opendasheng.data.spread import spread
from opendasheng.errors import CorpusError, EvaluationError
from opendasheng.evaluate.experts import read_pairs
from opendasheng.evaluate.metrics.base import Floats
from opendasheng.evaluate.statistics import interval
from opendasheng.model.audio_text import AudioTextScorer

_BATCH_CLIPS = 16
_RANKS = (1, 5, 10)
_CURVE_POINTS = 101
_SEED = 5


@dataclass(frozen=True)
class Pairs:
    """Clips with a caption each, and what a model makes of them: cosines of every clip (row) with every caption
    (column), float64 ``(N, N)``."""

    clips: tuple[Clip, ...]
    captions: tuple[str, ...]
    cosines_NN: Floats

    def of_kind(self, kind: str) -> "Pairs":
        """Those of clips of one kind."""
        places = [place for place, clip in enumerate(self.clips) if clip.kind == kind]
        return Pairs(
            tuple(self.clips[place] for place in places),
            tuple(self.captions[place] for place in places),
            self.cosines_NN[np.ix_(places, places)],
        )

    @property
    def matched_N(self) -> Floats:
        """Each clip with its own caption."""
        return self.cosines_NN.diagonal()

    def shuffled_N(self) -> Floats:
        """Each clip with the caption of another, the same one at every call, which does not read like its own."""
        random = np.random.default_rng([_SEED, len(self.clips)])
        found = []
        for place, own in enumerate(self.captions):
            others = [other for other in random.permutation(len(self.captions)) if self.captions[other] != own]
            if not others:
                raise EvaluationError("all captions read the same, so that no clip has a wrong one")
            found.append(self.cosines_NN[place, others[0]])
        return np.array(found)


def pairs_of(
    scorer: AudioTextScorer,
    reader: ShardReader,
    limit: int | None,
    captions: Mapping[str, str],
    *,
    advance: Callable[[], object] = lambda: None,
) -> tuple[Pairs, list[str]]:
    """Clips of a corpus with their captions, by id in ``captions``, at most ``limit``, as many of each kind as of the
    rarest, drawn evenly over sources; and what cannot be heard, told.

    What kinds are told apart by is easy, and what is within a kind is hard: with other shares of kinds another figure
    would come out.

    Raises :class:`EvaluationError` where fewer than two are left.
    """
    having = [place for place, clip in enumerate(reader.clips) if clip.id in captions]
    chosen = spread(
        having,
        min(limit or len(having), num_even(reader.clips[place] for place in having)),
        clip=reader.clips.__getitem__,
        group=lambda place: reader.clips[place].kind,
    )
    heard, waves, vectors, complaints = [], [], [], []
    for number, place in enumerate(chosen, 1):
        try:
            waves.append(reader.audio(place))
            heard.append(place)
        except CorpusError as error:
            complaints.append(str(error))
        if len(waves) == _BATCH_CLIPS or (waves and number == len(chosen)):
            vectors.append(scorer.encode_audio(waves))
            waves = []
        advance()
    if len(heard) < 2:
        raise EvaluationError(
            f"{reader.folder}: of {len(having)} clips with captions {len(heard)} can be heard; 2 are needed"
        )
    clips = tuple(reader.clips[place] for place in heard)
    texts = tuple(captions[clip.id] for clip in clips)
    cosines = np.concatenate(vectors).astype(np.float64) @ scorer.encode_texts(texts).astype(np.float64).T
    return Pairs(clips, texts, cosines), complaints


def captions_of_records(path: Path, clips: Sequence[Clip], maker: str) -> dict[str, str]:
    """The short captions by ``maker``, such as template, that records of curation have of ``clips``, by id. Raises
    :class:`EvaluationError` where there are none."""
    found = {}
    for clip, record in read_pairs(path, clips):
        short = record.get("captions", {}).get(maker, {}).get("short", "")
        if short.strip():
            found[clip.id] = short
    if not found:
        raise EvaluationError(f"{path}: no record has captions by {maker!r}")
    return found


def num_even(clips: Iterable[Clip]) -> int:
    """How many of ``clips`` can be taken so that there are as many of each kind that they are of."""
    counts = Counter(clip.kind for clip in clips)
    return len(counts) * min(counts.values(), default=0)


def unseen(clips: Iterable[Clip], split: str) -> frozenset[tuple[str, str]]:
    """Sources, and the kinds of their clips, that are in ``split`` and not in train: a package of sounds and of spoken
    words may have the words alone in train."""
    clips = list(clips)
    trained = {(clip.source, clip.kind) for clip in clips if clip.split == "train"}
    return frozenset((clip.source, clip.kind) for clip in clips if clip.split == split) - trained


def judge(pairs: Pairs, threshold: float | None = None) -> dict[str, Any]:
    """All figures of some pairs, for JSON: ``auc`` of own against others' captions with its 95 % interval, by kind too,
    where others' are of the same kind; retrieval in both directions; and at a ``threshold`` of the cosine what is
    kept of either, by default at the one that keeps 95 % of the clips' own."""
    matched, shuffled = pairs.matched_N, pairs.shuffled_N()
    if threshold is None:
        threshold = float(np.percentile(matched, 5, method="lower"))
    return {
        "num_clips": len(pairs.clips),
        "num_sources": len({clip.source for clip in pairs.clips}),
        "auc": area(matched, shuffled),
        "auc_by_kind": {
            kind: {"num_clips": len(those.clips), **area(those.matched_N, those.shuffled_N())}
            for kind in KINDS
            if len(set((those := pairs.of_kind(kind)).captions)) > 1
        },
        "audio_to_text": retrieval(pairs.cosines_NN, fits(pairs.captions)),
        "text_to_audio": retrieval(pairs.cosines_NN.T, fits(pairs.captions)),
        "threshold": threshold,
        "own_kept": float((matched >= threshold).mean()),
        "others_dropped": float((shuffled < threshold).mean()),
        "curve": curve(matched, shuffled),
    }


def area(matched_N: Floats, shuffled_N: Floats) -> dict[str, float]:
    """How often a clip's own caption has a higher cosine than another's: ``value``, and the interval over clips."""
    above_NN = (matched_N[:, None] > shuffled_N) + 0.5 * (matched_N[:, None] == shuffled_N)

    def statistic(weights: Floats | None = None) -> float:
        counts = np.ones(len(matched_N)) if weights is None else weights
        return float(counts @ above_NN @ counts / counts.sum() ** 2)

    [(low, high)] = interval([statistic], np.arange(len(matched_N), dtype=np.uint64))
    return {"value": statistic(), "low": low, "high": high}


def fits(captions: Sequence[str]) -> NDArray[np.bool_]:
    """Which captions read like a clip's own, ``(N, N)``."""
    _, numbers = np.unique(captions, return_inverse=True)
    same: NDArray[np.bool_] = numbers[:, None] == numbers
    return same


def retrieval(cosines_NN: Floats, fits_NN: NDArray[np.bool_]) -> dict[str, float]:
    """Of each row the best columns: ``r1``, ``r5``, ``r10``, how often one that fits is among so many, and ``map10``,
    the mean of the precision at each that fits among ten. What reads the same counts as found."""
    order_NK = np.argsort(-cosines_NN, axis=1, kind="stable")[:, : max(_RANKS)]
    hits_NK = np.take_along_axis(fits_NN, order_NK, axis=1)
    found = {f"r{rank}": float(hits_NK[:, :rank].any(1).mean()) for rank in _RANKS}
    precisions_NK = hits_NK.cumsum(1) / np.arange(1, hits_NK.shape[1] + 1)
    possible_N = np.minimum(fits_NN.sum(1), hits_NK.shape[1])
    return found | {"map10": float(((precisions_NK * hits_NK).sum(1) / possible_N).mean())}


def curve(matched_N: Floats, shuffled_N: Floats) -> list[Mapping[str, float]]:
    """At each threshold of the cosine, what is kept of own and of others' captions."""
    thresholds = np.linspace(
        min(matched_N.min(), shuffled_N.min()), max(matched_N.max(), shuffled_N.max()), _CURVE_POINTS
    )
    return [
        {
            "threshold": round(float(threshold), 4),
            "own_kept": round(float((matched_N >= threshold).mean()), 4),
            "others_kept": round(float((shuffled_N >= threshold).mean()), 4),
        }
        for threshold in thresholds
    ]

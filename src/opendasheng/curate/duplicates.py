"""Near-duplicates: clips that are copies of the same audio, at another level, in another coding, or a little cut.

Axes: N clips in the order of their lengths, P pairs of them, E size of a vector.

A copy has, nearly, the vector of the expert ``match``, the length, the centroid of the spectrum, which neither level
nor coding changes much, and the transcript. The audio itself is not heard again, and records hold no finer fingerprint
of it: two clips for which all of this agrees may still be different (one tune in two takes), and then stay on one side
of a split, which costs little where they are few. A copy that is cut by more, mixed with something else, in a narrower
band or at another speed is not found.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from opendasheng.curate.experts.match import Match, vector_of
from opendasheng.curate.record import Record

_LENGTH_SHARE = 0.02
"""Lengths differ by so much of the longer one at most."""
_CENTROID_SHARE = 0.15
"""Centroids likewise; MP3 and Vorbis moved those of 500 clips by 4 and 9 % at most, 1 % of the clips aside."""
# Whisper writes down a copy nearly, and other words of the same voice otherwise.
_SAID_ALIKE = 0.7
_BLOCK = 1024


def near_duplicates(records: Sequence[Record], least_cosine: float) -> Iterator[tuple[int, int]]:
    """The places in ``records`` of each pair that agrees, every pair once and in a fixed order.

    Vectors are compared where one version of the expert has made both; a record without one is no copy of any. A block
    of vectors is laid beside a block at a time, so that memory grows with the records and not with their pairs.
    """
    by_version: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        if vector_of(record) is not None:
            by_version.setdefault(record.findings[Match.name].version, []).append(place)
    for places in by_version.values():
        ordered = sorted(places, key=lambda place: records[place].duration_seconds)
        for one, other in _pairs([records[place] for place in ordered], least_cosine):
            yield ordered[one], ordered[other]


def _pairs(records: Sequence[Record], least_cosine: float) -> Iterator[tuple[int, int]]:
    """The same of records with vectors of one kind, the shortest clips first."""
    seconds_N = np.array([record.duration_seconds for record in records])
    vectors_NE = np.stack([_unit(record) for record in records])
    centroids_N = np.array([_centroid_hz(record) for record in records])
    longest_N = seconds_N / (1 - _LENGTH_SHARE)
    for start in range(0, len(records), _BLOCK):
        block = slice(start, start + _BLOCK)
        end = int(np.searchsorted(seconds_N, longest_N[block][-1], side="right"))
        for other in range(start, end, _BLOCK):
            cosines = vectors_NE[block] @ vectors_NE[other : min(other + _BLOCK, end)].T
            ones_P, others_P = np.nonzero(cosines >= least_cosine)
            ones_P, others_P = ones_P + start, others_P + other
            agree_P = (ones_P < others_P) & (seconds_N[others_P] <= longest_N[ones_P])
            agree_P &= _alike(centroids_N[ones_P], centroids_N[others_P])
            for one, its_other in zip(ones_P[agree_P].tolist(), others_P[agree_P].tolist(), strict=True):
                if _said_alike(records[one], records[its_other]):
                    yield one, its_other


def _unit(record: Record) -> NDArray[np.float32]:
    """Its vector with length 1; one that is all zeros stays so, and is near nothing."""
    vector = vector_of(record)
    assert vector is not None
    unit: NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return unit


def _centroid_hz(record: Record) -> float:
    """NaN where no expert has reported it."""
    value = record.value("centroid_hz")
    return float(value) if isinstance(value, int | float) else np.nan


def _alike(ones_P: NDArray[np.float64], others_P: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether centroids agree, bool ``(P,)``; one that is not known differs from none."""
    differ_P = np.abs(ones_P - others_P) > _CENTROID_SHARE * np.maximum(ones_P, others_P)
    alike: NDArray[np.bool_] = ~differ_P
    return alike


def _said_alike(one: Record, other: Record) -> bool:
    """Whether transcripts agree, by the letters that they share in one order; one that is not there agrees with any."""
    first, second = (str(record.value("transcript") or "").lower() for record in (one, other))
    return not (first and second) or SequenceMatcher(None, first, second, autojunk=False).ratio() >= _SAID_ALIKE

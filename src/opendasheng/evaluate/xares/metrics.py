"""What the tasks are scored by, in numpy: shares between 0 and 1, all of them better when larger.

Shapes: N items, C classes, T frames, S segments, A clips, Q captions, D embedding.

Where the two readings differ, ``compat`` is the published definition and ``strict`` ours.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.tasks import Reading

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]


def accuracy(logits_NC: Floats, labels_N: Ints) -> float:
    """Share of items whose largest logit is that of their class."""
    _require(len(labels_N), "accuracy")
    return float((logits_NC.argmax(1) == labels_N).mean())


def mean_average_precision(scores_NC: Floats, labels_NC: Floats, reading: Reading = "compat") -> float:
    """Average precision, averaged over classes; scores need only be ordered rightly, so logits will do.

    A class without a positive item has no average precision: ``compat`` counts it as 0, ``strict`` leaves it out.
    """
    _require(len(labels_NC), "mAP")
    positive_NC = labels_NC > 0.5
    values = [average_precision(scores_N, is_N) for scores_N, is_N in zip(scores_NC.T, positive_NC.T, strict=True)]
    present_C: Bools = np.any(positive_NC, axis=0)
    return _over_classes(np.array(values), present_C, reading, "mAP")


def average_precision(scores_N: Floats, positive_N: Bools) -> float:
    """Sum over thresholds of the step in recall times the precision there; items of equal score share a threshold."""
    if not positive_N.any():
        return 0.0
    order = np.argsort(-scores_N, kind="stable")
    hits = positive_N[order].cumsum()
    last = np.flatnonzero(np.diff(scores_N[order], append=np.nan) != 0)
    recall = hits[last] / hits[-1]
    return float(np.diff(recall, prepend=0.0) @ (hits[last] / (last + 1)))


def frames_of(seconds: float, hop_seconds: float) -> int:
    """The frame that a time falls on, and frames in a stretch of it: rounded up."""
    return math.ceil(seconds / hop_seconds)


def segments(active_TC: Bools, frames_per_segment: int) -> Bools:
    """Classes that are active anywhere in each whole segment: ``(S, C)``; the frames left over at the end are dropped.

    What is shorter than one segment has none.
    """
    count = len(active_TC) // frames_per_segment
    shape = count, frames_per_segment, active_TC.shape[1]
    active_SC: Bools = np.logical_or.reduce(active_TC[: count * frames_per_segment].reshape(shape), axis=1)
    return active_SC


def segment_f1(found_SC: Bools, wanted_SC: Bools, average: str, reading: Reading = "compat") -> float:
    """F1 over segments: of all classes pooled (``micro``), or averaged over classes (``macro``).

    A class that is neither found nor wanted anywhere has no F1: ``compat`` counts it as 0, ``strict`` leaves it out.
    """
    _require(len(wanted_SC), "F1")
    hits_C = (found_SC & wanted_SC).sum(0)
    total_C = found_SC.sum(0) + wanted_SC.sum(0)
    if average == "micro":
        return float(2 * hits_C.sum() / max(1, total_C.sum()))
    return _over_classes(2 * hits_C / np.maximum(1, total_C), total_C > 0, reading, "F1")


def recall_at_1(audio_AD: Floats, captions_QD: Floats, owners_Q: Ints) -> float:
    """Mean of two recalls by cosine: clips with a caption of theirs in first place, captions with their clip there."""
    _require(len(captions_QD), "recall")
    similarity_AQ = _unit(audio_AD) @ _unit(captions_QD).T
    to_text = owners_Q[similarity_AQ.argmax(1)] == np.arange(len(audio_AD))
    to_audio = similarity_AQ.argmax(0) == owners_Q
    return float((to_text.mean() + to_audio.mean()) / 2)


def one_minus_wer(answers: Sequence[str], truths: Sequence[str]) -> float:
    """1 minus the word error rate of the corpus, not below 0; words are what lies between spaces, in lower case."""
    pairs = [(a.lower().split(), t.lower().split()) for a, t in zip(answers, truths, strict=True)]
    num_words = sum(len(truth) for _, truth in pairs)
    _require(num_words, "the word error rate")
    return max(0.0, 1 - sum(edit_distance(answer, truth) for answer, truth in pairs) / num_words)


def one_minus_cer(counts_N2: Ints) -> float:
    """1 minus the character error rate of the corpus, not below 0, from errors and characters of each item."""
    errors, characters = counts_N2.sum(0).tolist()
    _require(characters, "the character error rate")
    return max(0.0, 1 - float(errors / characters))


def edit_distance(found: Sequence[str], wanted: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn one into the other."""
    numbers = {word: number for number, word in enumerate({*found, *wanted})}
    wanted_W = np.array([numbers[word] for word in wanted], dtype=np.int64)
    steps = np.arange(len(wanted) + 1)
    row = steps.copy()
    for word in found:
        best = row + 1
        best[1:] = np.minimum(best[1:], row[:-1] + (wanted_W != numbers[word]))
        # A run of insertions from the left: each costs one, so subtracting the column turns it into a running minimum.
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def _over_classes(values_C: Floats, present_C: Bools, reading: Reading, name: str) -> float:
    if reading == "compat":
        return float(values_C.mean())
    _require(int(present_C.sum()), name)
    return float(values_C[present_C].mean())


def _unit(x_ND: Floats) -> Floats:
    unit_ND: Floats = x_ND / np.maximum(np.linalg.norm(x_ND, axis=1, keepdims=True), 1e-12)
    return unit_ND


def _require(count: int, name: str) -> None:
    if not count:
        raise EvaluationError(f"there is nothing to compute {name} from: the test split is empty or has no label")

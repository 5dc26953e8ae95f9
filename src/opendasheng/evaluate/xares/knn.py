"""The nearest neighbours of a clip among the training clips vote for its class, without any training.

Shapes: N training items, Q test items, D embedding, K neighbours, C classes.
"""

from typing import Final

import numpy as np

from opendasheng.evaluate.xares.metrics import Floats, Ints, accuracy
from opendasheng.evaluate.xares.tasks import Reading

NEIGHBOURS: Final = 10
TEMPERATURE: Final = 0.07
_TINY = 1e-12
_ROWS = 512  # test items compared with all training items at a time


def knn_accuracy(
    train_ND: Floats, labels_N: Ints, test_QD: Floats, labels_Q: Ints, *, num_classes: int, reading: Reading
) -> float:
    """Share of test items for whose class the weights of their 10 neighbours (all, where there are fewer) add up most.

    ``strict`` compares by cosine. ``compat`` does what the published code does (EVALUATION.md section 5): test items
    have unit length, but the training matrix is scaled to unit length along its other axis, each *feature* over all
    items. So long items win, and features weigh by the inverse of their size.
    """
    votes_QC = votes(train_ND, labels_N, test_QD, num_classes=num_classes, reading=reading)
    return accuracy(votes_QC, labels_Q)


def votes(train_ND: Floats, labels_N: Ints, test_QD: Floats, *, num_classes: int, reading: Reading) -> Floats:
    """What each class gets of the vote: ``(Q, C)`` float64; a row adds up to 1."""
    keys_ND = _scaled(train_ND.astype(np.float64), axis=0 if reading == "compat" else 1)
    queries_QD = _scaled(test_QD.astype(np.float64), axis=1)
    votes_QC = np.zeros((len(test_QD), num_classes))
    for start in range(0, len(test_QD), _ROWS):
        similarity_qN = queries_QD[start : start + _ROWS] @ keys_ND.T
        nearest_qK = np.argsort(-similarity_qN, axis=1, kind="stable")[:, :NEIGHBOURS]
        weights_qK = _softmax(np.take_along_axis(similarity_qN, nearest_qK, 1) / TEMPERATURE)
        rows_q1 = np.arange(start, start + len(similarity_qN))[:, None]
        np.add.at(votes_QC, (rows_q1, labels_N[nearest_qK]), weights_qK)
    return votes_QC


def _scaled(x: Floats, axis: int) -> Floats:
    """``x`` with unit length along ``axis``."""
    scaled: Floats = x / np.maximum(np.linalg.norm(x, axis=axis, keepdims=True), _TINY)
    return scaled


def _softmax(x_qK: Floats) -> Floats:
    powers = np.exp(x_qK - x_qK.max(1, keepdims=True))
    shares: Floats = powers / powers.sum(1, keepdims=True)
    return shares

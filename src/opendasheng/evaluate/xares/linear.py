"""The benchmark's "MLP": LayerNorm and one linear layer, on the mean over time or on each frame.

Shapes: N items, B items of a batch, T frames, D embedding, C classes, S segments.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares import metrics
from opendasheng.evaluate.xares.metrics import Floats
from opendasheng.evaluate.xares.tasks import Reading, Training

LEARNING_RATE: Final = 1e-3
FINAL_SHARE: Final = 0.1


class Batch(NamedTuple):
    """Features, targets, and where they are an item's own (None: everywhere)."""

    x: Tensor
    y: Tensor
    mask: Tensor | None = None


BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)


class Examples(Protocol[BatchT_co]):
    """Items with targets."""

    def __len__(self) -> int: ...

    def batch(self, items: Sequence[int]) -> BatchT_co:
        """The items with these numbers."""
        ...


@dataclass(frozen=True)
class Clips:
    """One vector an item, float32 ``(N, D)``, with a class int64 ``(N,)`` or tags float32 ``(N, C)``."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, items: Sequence[int]) -> Batch:
        """``(B, D)`` and ``(B,)`` or ``(B, C)``."""
        return Batch(self.x[list(items)], self.y[list(items)])


@dataclass(frozen=True)
class Frames:
    """Frames of items, ``(T, D)``, and what is heard in them, ``(T, C)``; a batch is padded to its longest item.

    In the ``compat`` reading the frames of padding count, in training and in scores, as frames in which nothing is to
    be heard.
    """

    x: Sequence[Floats]
    y: Sequence[Floats]
    reading: Reading

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, items: Sequence[int]) -> Batch:
        """``(B, T, D)``, ``(B, T, C)`` and, in the strict reading, the mask ``(B, T)``."""
        x_BTD = pad_sequence([torch.from_numpy(np.array(self.x[i])) for i in items], batch_first=True)
        y_BTC = pad_sequence([torch.from_numpy(self.y[i]) for i in items], batch_first=True)
        if self.reading == "compat":
            return Batch(x_BTD, y_BTC)
        lengths_B1 = torch.tensor([[len(self.x[i])] for i in items])
        return Batch(x_BTD, y_BTC, torch.arange(x_BTD.shape[1]) < lengths_B1)


@dataclass(frozen=True)
class Fitted:
    """A trained head and the epoch (from 1) it is of."""

    head: nn.Module
    epoch: int
    valid_score: float | None


def linear_head(width: int, num_classes: int, seed: int) -> nn.Module:
    """LayerNorm and a linear layer, as torch initialises them for ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, num_classes))


def fit(
    head: nn.Module,
    train: Examples[BatchT],
    loss: Callable[[nn.Module, BatchT], Tensor],
    score: Callable[[nn.Module], float] | None,
    training: Training,
    seed: int,
) -> Fitted:
    """Train a head with Adam; the state of the epoch with the best ``score``, the first among equals.

    The learning rate falls each epoch along a cosine from 1e-3 towards a tenth of it. Without ``score`` the last epoch
    stays. Items are shuffled anew each epoch, by ``seed``.
    """
    if not len(train):
        raise EvaluationError("there is nothing to train on: the training split is empty")
    optimiser = torch.optim.Adam([p for p in head.parameters() if p.requires_grad], lr=LEARNING_RATE)
    random = np.random.default_rng(seed)
    best: tuple[float, int, dict[str, Tensor]] | None = None
    for epoch in range(training.epochs):
        optimiser.param_groups[0]["lr"] = learning_rate(epoch, training.epochs)
        head.train()
        for items in _batches(random.permutation(len(train)).tolist(), training.batch_size):
            optimiser.zero_grad()
            loss(head, train.batch(items)).backward()
            optimiser.step()
        head.eval()
        if score is None:
            continue
        with torch.inference_mode():
            value = score(head)
        if best is None or value > best[0]:
            best = value, epoch + 1, {name: tensor.clone() for name, tensor in _trainable(head).items()}
    if best is None:
        return Fitted(head, training.epochs, None)
    head.load_state_dict(best[2], strict=False)
    return Fitted(head, best[1], best[0])


def _trainable(head: nn.Module) -> dict[str, Tensor]:
    """What training may change; a frozen language model inside a head is not copied."""
    return {name: tensor.detach() for name, tensor in head.named_parameters() if tensor.requires_grad}


def learning_rate(epoch: int, num_epochs: int) -> float:
    """That of an epoch, counted from 0."""
    share = (1 + math.cos(math.pi * epoch / num_epochs)) / 2
    return LEARNING_RATE * (FINAL_SHARE + (1 - FINAL_SHARE) * share)


def _batches(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def class_loss(head: nn.Module, batch: Batch) -> Tensor:
    """Cross entropy of one class an item."""
    return functional.cross_entropy(head(batch.x), batch.y)


@dataclass(frozen=True)
class TagLoss:
    """Binary cross entropy of every class, over items or frames; positives weigh ``positive_weight``."""

    positive_weight: float = 1.0

    def __call__(self, head: nn.Module, batch: Batch) -> Tensor:
        """Mean over what is not padding."""
        weight = torch.tensor(self.positive_weight)
        if batch.mask is None:
            return functional.binary_cross_entropy_with_logits(head(batch.x), batch.y, pos_weight=weight)
        return functional.binary_cross_entropy_with_logits(
            head(batch.x[batch.mask]), batch.y[batch.mask], pos_weight=weight
        )


@torch.inference_mode()
def predict(head: nn.Module, clips: Clips, batch_size: int) -> Floats:
    """Logits of every item: ``(N, C)``."""
    rows = [head(clips.batch(items).x) for items in _batches(range(len(clips)), batch_size)]
    return torch.cat(rows).numpy() if rows else np.zeros((0, 0), dtype=np.float32)


@torch.inference_mode()
def score_frames(
    head: nn.Module, frames: Frames, batch_size: int, frames_per_segment: int, metric: str, reading: Reading
) -> float:
    """Segment F1: a class is found in a segment where its probability is above a half in any of its frames."""
    found, wanted = [], []
    for items in _batches(range(len(frames)), batch_size):
        batch = frames.batch(items)
        for row, logits_TC in enumerate(head(batch.x)):
            own = slice(None) if batch.mask is None else batch.mask[row]
            found.append(metrics.segments((logits_TC[own] > 0).numpy(), frames_per_segment))
            wanted.append(metrics.segments((batch.y[row][own] > 0.5).numpy(), frames_per_segment))
    average = metric.removeprefix("segment_f1_")
    return metrics.segment_f1(np.concatenate(found), np.concatenate(wanted), average, reading)

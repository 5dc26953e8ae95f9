"""What is said, by a linear layer on each frame that spells (CTC): no language model helps, so that a score is one of
the features alone. Not of the benchmark.

Shapes: N items, B items of a batch, T frames, D embedding, C characters, K characters of the longest transcript.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from opendasheng.data.spelling import BLANK, Spelling, plain
from opendasheng.evaluate.xares.metrics import Floats, Ints, edit_distance


class SpeltBatch(NamedTuple):
    """Frames ``(B, T, D)``, how many are an item's own ``(B,)``, numbers of characters ``(B, K)`` and theirs."""

    x: Tensor
    lengths_B: Tensor
    characters_BK: Tensor
    num_characters_B: Tensor


@dataclass(frozen=True)
class Spelt:
    """Frames of items, ``(T, D)``, and what is said in them."""

    x: Sequence[Floats]
    texts: Sequence[str]
    spelling: Spelling

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, items: Sequence[int]) -> SpeltBatch:
        """The items with these numbers, padded."""
        x_BTD = pad_sequence([torch.from_numpy(np.array(self.x[i])) for i in items], batch_first=True)
        spelt = [torch.tensor(self.spelling.spell(self.texts[i]), dtype=torch.long) for i in items]
        return SpeltBatch(
            x_BTD,
            torch.tensor([len(self.x[i]) for i in items]),
            pad_sequence(spelt, batch_first=True),
            torch.tensor([len(ids) for ids in spelt]),
        )


def spelling_loss(head: nn.Module, batch: SpeltBatch) -> Tensor:
    """CTC over the characters of a batch; an item with more of them than frames teaches nothing."""
    return functional.ctc_loss(
        head(batch.x).log_softmax(-1).transpose(0, 1),
        batch.characters_BK,
        batch.lengths_B,
        batch.num_characters_B,
        blank=BLANK,
        zero_infinity=True,
    )


@torch.inference_mode()
def count_errors(head: nn.Module, spelt: Spelt, batch_size: int) -> Ints:
    """Of each item, wrong characters of the likeliest spelling, and characters that are said: int64 ``(N, 2)``."""
    counts = []
    for first in range(0, len(spelt), batch_size):
        items = range(first, min(first + batch_size, len(spelt)))
        batch = spelt.batch(items)
        for item, best_T, length in zip(items, head(batch.x).argmax(-1), batch.lengths_B.tolist(), strict=True):
            found, wanted = spelt.spelling.read_frames(best_T[:length].tolist()), plain(spelt.texts[item])
            counts.append((edit_distance(found, wanted), len(wanted)))
    return np.array(counts, dtype=np.int64).reshape(-1, 2)

"""Audio-text retrieval: a small network on the mean of a clip, a bag of tokens on the text, and a contrastive loss.

Shapes: B pairs of a batch, A clips, Q captions, K tokens of the longest caption, D embedding, E space of both (1024).
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.metrics import recall_at_1

WIDTH: Final = 1024
_TEMPERATURE = 0.07
_PAD, _UNKNOWN = 0, 1
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Vocabulary:
    """Texts -> token numbers from 1; 0 is padding. ``name`` says whose they are."""

    name: str
    size: int
    encode: Callable[[str], list[int]]


def words_of(texts: Iterable[str]) -> Vocabulary:
    """Every word and punctuation mark of ``texts`` in lower case; others are the unknown word.

    A stand-in for the word pieces of BERT-uncased, of which the benchmark uses the tokenizer and nothing else.
    """
    words = sorted({word for text in texts for word in _WORD.findall(text.lower())})
    numbers = {word: number for number, word in enumerate(words, _UNKNOWN + 1)}
    return Vocabulary(
        "words of the training captions",
        len(words) + 2,
        lambda text: [numbers.get(word, _UNKNOWN) for word in _WORD.findall(text.lower())] or [_UNKNOWN],
    )


def pieces_of(tokenizer: str) -> Vocabulary:
    """The tokens of a transformers tokenizer, by folder or hub id (the benchmark's: ``google-bert/bert-base-uncased``).

    Raises :class:`EvaluationError` when it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise EvaluationError(f"{tokenizer}: not a tokenizer that can be loaded ({words}); name its folder") from error
    return Vocabulary(tokenizer, len(loaded) + 1, lambda text: [int(number) + 1 for number in loaded(text).input_ids])


class Pairs(NamedTuple):
    """Every caption with its clip: means float32 ``(A, D)``, captions of Q texts, and the clip of each, ``(Q,)``."""

    clips_AD: Tensor
    captions: Sequence[Sequence[int]]
    owners: Sequence[int]

    def __len__(self) -> int:
        return len(self.captions)


class PairBatch(NamedTuple):
    """Means ``(B, D)`` and token numbers ``(B, K)``, 0 where there is none."""

    x: Tensor
    tokens_BK: Tensor


@dataclass(frozen=True)
class PairExamples:
    """Pairs as examples for :func:`opendasheng.evaluate.xares.linear.fit`."""

    pairs: Pairs

    def __len__(self) -> int:
        return len(self.pairs.captions)

    def batch(self, items: Sequence[int]) -> PairBatch:
        """The pairs with these numbers."""
        clips = [self.pairs.owners[item] for item in items]
        return PairBatch(self.pairs.clips_AD[clips], _padded([self.pairs.captions[item] for item in items]))


def _padded(captions: Sequence[Sequence[int]]) -> Tensor:
    return pad_sequence([torch.tensor(caption) for caption in captions], batch_first=True, padding_value=_PAD)


class RetrievalHead(nn.Module):
    """LayerNorm and two layers with GELU on audio; an embedding and two such layers on each token, then their mean."""

    def __init__(self, width: int, num_tokens: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.audio = nn.Sequential(nn.Linear(width, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.tokens = nn.Embedding(num_tokens, WIDTH)
        self.text = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / _TEMPERATURE)))

    def hear(self, x_BD: Tensor) -> Tensor:
        """Means ``(B, D)`` -> ``(B, 1024)``."""
        out_BE: Tensor = self.audio(self.norm(x_BD))
        return out_BE

    def read(self, tokens_BK: Tensor) -> Tensor:
        """Tokens ``(B, K)`` -> ``(B, 1024)``, whatever their order."""
        is_token_BK1 = (tokens_BK != _PAD).unsqueeze(-1)
        summed_BE: Tensor = (self.text(self.tokens(tokens_BK)) * is_token_BK1).sum(1)
        return summed_BE / is_token_BK1.sum(1)


def contrastive_loss(head: nn.Module, batch: PairBatch) -> Tensor:
    """Cross entropy of each clip among the captions of the batch and of each caption among its clips, averaged.

    Embeddings are not normalised; what keeps them in bounds is a term for each side, the mean of absolute values over
    the root of the sum of squares.
    """
    assert isinstance(head, RetrievalHead)
    audio_BE, text_BE = head.hear(batch.x), head.read(batch.tokens_BK)
    logits_BB = head.log_scale.exp() * audio_BE @ text_BE.T
    own_B = torch.arange(len(logits_BB))
    loss = (functional.cross_entropy(logits_BB, own_B) + functional.cross_entropy(logits_BB.T, own_B)) / 2
    return loss + sum(
        (x_BE.abs().mean() / x_BE.square().sum().sqrt() for x_BE in (audio_BE, text_BE)), torch.tensor(0.0)
    )


def retrieval_head(width: int, vocabulary: Vocabulary, seed: int) -> RetrievalHead:
    """A new head, as torch initialises it for ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RetrievalHead(width, vocabulary.size)


@torch.inference_mode()
def score_pairs(head: nn.Module, pairs: Pairs, batch_size: int) -> float:
    """Recall@1, the mean of both directions."""
    assert isinstance(head, RetrievalHead)
    starts = range(0, len(pairs.captions), batch_size)
    text_QE = torch.cat([head.read(_padded(pairs.captions[first : first + batch_size])) for first in starts])
    return recall_at_1(head.hear(pairs.clips_AD).numpy(), text_QE.numpy(), np.array(pairs.owners))

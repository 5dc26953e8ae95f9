"""A text tower without layers: the mean of its tokens' vectors. Word order is lost; it costs next to nothing."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from opendasheng.errors import CheckpointError
from opendasheng.model.audio_text import ENGLISH

_MOST_TOKENS = 512


class BagOfTokens(nn.Module):
    """Ids and mask ``(N, L)`` -> ``(N, D)``; a text without tokens is zeros."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)

    def forward(self, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
        """See the class."""
        x_NLD: Tensor = self.embedding(ids_NL) * mask_NL[..., None]
        return x_NLD.sum(1) / mask_NL.sum(1, keepdim=True).clamp_min(1)


class TokenizedTexts:
    """Tokens of a ``tokenizer.json``; at most 512 are kept."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @classmethod
    def read(cls, path: Path) -> "TokenizedTexts":
        """Raises :class:`CheckpointError` for a file that is missing or none of tokenizers."""
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # tokenizers raises nothing more special
            raise CheckpointError(f"{path}: no tokenizer can be read from it ({error}); get it again") from error

    def __call__(self, texts: Sequence[str], language: str = ENGLISH) -> tuple[Tensor, Tensor]:
        """See :class:`~opendasheng.model.audio_text.Texts`; which language they are in makes no difference."""
        del language
        found = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ids = [torch.tensor(each.ids[:_MOST_TOKENS], dtype=torch.long) for each in found]
        lengths = torch.tensor([len(row) for row in ids])
        ids_NL = pad_sequence(ids, batch_first=True)
        return ids_NL, torch.arange(ids_NL.shape[1]) < lengths[:, None]

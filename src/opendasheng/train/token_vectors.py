"""A sentence model's knowledge of single tokens, for a text tower without layers.

Each token goes through the model alone; the vectors are reduced to their principal components and weighted by how rare
the token is, as model2vec does (Tulkens and van Dongen 2024). The mean over a text's tokens then lies near texts of the
same meaning, words that no training text has among them.
"""

import json
import math
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from opendasheng import hub
from opendasheng.engine import quiet_transformers
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.model.bag_of_tokens import TokenizedTexts

_BATCH = 512


def token_vectors(name: str, width: int) -> tuple[TokenizedTexts, Tensor]:
    """Of the sentence model in a folder or of a hub id: its tokens that are ASCII, and float32 ``(V, width)``.

    Raises :class:`CheckpointError` for what cannot be read, and :class:`ConfigError` for a tokenizer without word
    pieces or a ``width`` above the model's.
    """
    folder = hub.place(name)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    except (OSError, ValueError, KeyError) as error:
        words = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{name}: no sentence model can be read from it ({words})") from error
    told: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    if told["model"]["type"] != "WordPiece":
        raise ConfigError(f"{name}: its tokenizer is a {told['model']['type']}; a model with word pieces is needed")
    if width > model.config.hidden_size:
        raise ConfigError(
            f"contrast.text_dim is {width}; {name} is {model.config.hidden_size} wide, it is at most that"
        )
    unknown = told["model"]["unk_token"]
    by_id = sorted(told["model"]["vocab"].items(), key=lambda item: item[1])
    special = set(tokenizer.all_special_tokens) - {unknown}
    kept = [
        (token, number) for token, number in by_id if token.isascii() and token not in special and not _is_spare(token)
    ]
    told["model"]["vocab"] = {token: place for place, (token, _) in enumerate(kept)}
    told |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    vectors_VD = _alone(model, [number for _, number in kept], tokenizer.cls_token_id, tokenizer.sep_token_id)
    return TokenizedTexts(Tokenizer.from_str(json.dumps(told))), _weighted(_reduced(vectors_VD, width))


def _is_spare(token: str) -> bool:
    """BERT's places for tokens to come, ``[unused7]``."""
    return token.startswith("[unused")


@torch.inference_mode()
def _alone(model: Any, numbers: list[int], first: int, last: int) -> Tensor:
    """The mean over what the model makes of a token and the marks around it: ``(V, D)``."""
    found = []
    for group in torch.tensor(numbers).split(_BATCH):
        ids = torch.stack([torch.full_like(group, first), group, torch.full_like(group, last)], dim=1)
        found.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(1))
    return torch.cat(found)


def _reduced(vectors_VD: Tensor, width: int) -> Tensor:
    centred_VD = vectors_VD - vectors_VD.mean(0)
    _, _, directions_DD = torch.linalg.svd(centred_VD.T @ centred_VD)
    directions_DW = directions_DD[:width].T
    # Of each direction the sign is arbitrary: the largest part of it is made positive.
    signs = directions_DW.gather(0, directions_DW.abs().argmax(0, keepdim=True)).sign()
    reduced_VW: Tensor = centred_VD @ (directions_DW * signs)
    return reduced_VW


def _weighted(vectors_VW: Tensor) -> Tensor:
    """Vocabularies of word pieces begin with what is frequent; weights are the logarithm of the place there."""
    places = torch.arange(1, len(vectors_VW) + 1, dtype=torch.float32)
    return vectors_VW * (places.log1p() / math.log1p(len(vectors_VW)))[:, None]

"""SONAR's text encoder, the text tower of GLAP (SPEC 10.1; Duquenne et al. 2023, arXiv 2308.11466).

A transformer of M2M-100's form, which transformers has, under other names of its weights; positions begin at 2.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import M2M100Config
from transformers.models.m2m_100.modeling_m2m_100 import M2M100Encoder
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.model.audio_text import ENGLISH

_PAD, _END = 0, 3
# Of sentencepiece's ids each moves by one for the padding before them, and the languages follow behind the last.
_SHIFT, _FIRST_LANGUAGE = 1, 256_001
_MOST_TOKENS = 514
# One less than the first position, which M2M-100 takes from the id of its padding.
_BEFORE_FIRST_POSITION = 1
_HEAD_SIZE = 64
_NAMES = (
    (r"^encoder_frontend\.embed\.", "embed_tokens."),
    (r"^encoder\.layers\.", "layers."),
    (r"\.self_attn\.output_proj\.", ".self_attn.out_proj."),
    (r"\.ffn_layer_norm\.", ".final_layer_norm."),
    (r"\.ffn\.inner_proj\.", ".fc1."),
    (r"\.ffn\.output_proj\.", ".fc2."),
)


class SonarText(nn.Module):
    """Ids and mask ``(N, L)`` -> ``(N, D)``, the mean over tokens."""

    def __init__(self, config: M2M100Config) -> None:
        super().__init__()
        self.model = M2M100Encoder(config)

    def forward(self, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
        """See the class."""
        # As embeddings: of ids M2M-100 would take the unknown word, 1 here, for padding.
        embedded_NLD = self.model.embed_tokens(ids_NL)
        found = self.model(inputs_embeds=embedded_NLD, attention_mask=mask_NL.long())
        x_NLD: Tensor = found.last_hidden_state * mask_NL[..., None]
        return x_NLD.sum(1) / mask_NL.sum(1, keepdim=True).clamp_min(1)


class SonarTexts:
    """Sentencepiece's tokens behind one for the language and before one for the end; at most 514 are kept."""

    def __init__(self, path: Path) -> None:
        """``path`` is SONAR's sentencepiece model. Raises :class:`ConfigError` where sentencepiece is not installed,
        and :class:`CheckpointError` for another file."""
        try:
            import sentencepiece
        except ImportError as error:
            raise ConfigError(
                "GLAP needs the extra: pip install 'opendasheng[curate]' (it brings sentencepiece)"
            ) from error
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; it is SONAR's sentencepiece model, get it beside the weights")
        try:
            self._pieces: Any = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"{path}: this is no sentencepiece model; get it again") from error

    def __call__(self, texts: Sequence[str], language: str = ENGLISH) -> tuple[Tensor, Tensor]:
        """See :class:`~opendasheng.model.audio_text.Texts`. Raises :class:`ConfigError` for a language that it has
        not."""
        if language not in FAIRSEQ_LANGUAGE_CODES:
            raise ConfigError(f"language {language!r}: SONAR knows codes such as {ENGLISH}, zho_Hans, deu_Latn")
        first = _FIRST_LANGUAGE + FAIRSEQ_LANGUAGE_CODES.index(language)
        rows = [[first, *(piece + _SHIFT for piece in pieces), _END] for pieces in self._pieces.encode(list(texts))]
        ids = [torch.tensor(row[:_MOST_TOKENS]) for row in rows]
        lengths = torch.tensor([len(row) for row in ids])
        ids_NL = pad_sequence(ids, batch_first=True, padding_value=_PAD)
        return ids_NL, torch.arange(ids_NL.shape[1]) < lengths[:, None]


def sonar_of(tensors: Mapping[str, Tensor]) -> SonarText:
    """The encoder that ``tensors`` are of, by the names of their checkpoint. Raises :class:`CheckpointError`."""
    renamed = {f"model.{_renamed(name)}": tensor.float() for name, tensor in tensors.items()}
    try:
        vocab_size, width = renamed["model.embed_tokens.weight"].shape
        hidden = renamed["model.layers.0.fc1.weight"].shape[0]
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"this is no SONAR text encoder: no {error}") from error
    depth = len({name.split(".")[2] for name in renamed if name.startswith("model.layers.")})
    config = M2M100Config(
        vocab_size=vocab_size,
        d_model=width,
        encoder_layers=depth,
        encoder_attention_heads=max(1, width // _HEAD_SIZE),
        encoder_ffn_dim=hidden,
        max_position_embeddings=_MOST_TOKENS,
        pad_token_id=_BEFORE_FIRST_POSITION,
        scale_embedding=True,
        activation_function="relu",
        encoder_layerdrop=0.0,
    )
    with torch.device("meta"):
        encoder = SonarText(config)
    encoder.model.embed_positions = type(encoder.model.embed_positions)(_MOST_TOKENS, width, _BEFORE_FIRST_POSITION)
    wrong = sorted(encoder.state_dict().keys() ^ renamed.keys())
    if wrong:
        raise CheckpointError(f"this is no SONAR text encoder: {wrong[0]} is missing or has no place")
    encoder.load_state_dict(renamed, assign=True)
    return encoder


def _renamed(name: str) -> str:
    for pattern, ours in _NAMES:
        name = re.sub(pattern, ours, name)
    return name

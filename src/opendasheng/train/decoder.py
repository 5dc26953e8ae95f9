"""A pretrained text decoder that is to listen: read with its tokenizer, which gets the markers of the released one."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from opendasheng import hub
from opendasheng.engine import quiet_transformers
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.model import MiDashengLMProcessor
from opendasheng.model.conversation import default_chat_template
from opendasheng.train.tokenizer import END_OF_TURN, PAD, SPECIAL_TOKENS

_GGUF = ".gguf"
# Shares of the largest logit: the experts of a mixture, which multiply other rows together where another token comes
# after, were seen to differ by 3e-7, and BERT, which reads that token, by a quarter.
_ROUNDING = 1e-4


def load_decoder(name: str) -> tuple[PreTrainedModel, MiDashengLMProcessor]:
    """Any causal language model of transformers, float32, and a processor around its tokenizer.

    ``name`` is a folder, a hub id, or a ``.gguf`` file, whose weights are unpacked. The markers of conversations and of
    audio become tokens where they are none; their embeddings begin near the mean of the others (torch's generator).
    Conversations are laid out as the released model has them, whatever the tokenizer came with.

    Raises:
        CheckpointError: no such model, a pickle, a damaged file, or no tokenizer.
        ConfigError: a ``.gguf`` file, and the package that reads them is missing.
    """
    folder, options = _place(name)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
            decoder: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, **options
            )
    except Exception as error:  # transformers has many kinds for a damaged file
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CheckpointError(
            f"{name}: no causal language model with its tokenizer can be read from it ({words})"
        ) from error
    decoder.hf_quantizer = None  # the weights are plain now, and are saved as such
    _learn_markers(decoder, tokenizer)
    return decoder, MiDashengLMProcessor(tokenizer=tokenizer, chat_template=default_chat_template())


def require_causal(decoder: PreTrainedModel) -> None:
    """Refuse a decoder whose answers depend on what comes after them: it would learn to copy what it is to write.

    transformers makes a language model of an encoder such as BERT too, which sees all of a text. Raises
    :class:`ConfigError`.
    """
    trains = decoder.training
    decoder.eval()
    ids = torch.tensor([[0, 1, 2], [0, 1, 3]], device=decoder.device)
    with torch.inference_mode():
        logits_2PV = decoder(input_ids=ids).logits
    decoder.train(trains)
    difference = (logits_2PV[0, :2] - logits_2PV[1, :2]).abs().max()
    if difference > _ROUNDING * logits_2PV.abs().max():
        kind = decoder.config.model_type
        raise ConfigError(f"a decoder of type {kind!r} sees what it is to write: take a causal one, such as qwen2")


def _place(name: str) -> tuple[Path, dict[str, str]]:
    """The folder to read from, and transformers' option for a file in it."""
    path = Path(name).expanduser()
    if path.suffix == _GGUF:
        if not path.is_file():
            raise CheckpointError(f"{name}: no such file")
        try:
            import gguf  # noqa: F401
        except ModuleNotFoundError as error:
            raise ConfigError("a .gguf decoder needs the extra: pip install 'opendasheng[gguf]'") from error
        return path.parent, {"gguf_file": path.name}
    if path.is_dir():
        return path, {}
    if path.exists() or name.startswith((".", "/", "~")):
        raise CheckpointError(f"{name}: a decoder is a folder, a hub id or a .gguf file; this is none of them")
    return hub.download(name), {}


def _learn_markers(decoder: Any, tokenizer: Any) -> None:
    known = tokenizer.get_vocab()
    new = [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS if token not in known]
    tokenizer.add_tokens(new, special_tokens=True)
    tokenizer.eos_token = END_OF_TURN
    if tokenizer.pad_token is None:
        tokenizer.pad_token = PAD if PAD in known else END_OF_TURN
    tokenizer.padding_side = "left"
    if len(tokenizer) > decoder.config.vocab_size:
        with quiet_transformers():
            decoder.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    decoder.config.eos_token_id, decoder.config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id

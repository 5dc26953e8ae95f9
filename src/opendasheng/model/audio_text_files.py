"""Files of audio-text models: GLAP's released weights (SPEC 10.1), and folders of our own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.files import replacing_folder
from opendasheng.model.audio_text import AudioTextModel, AudioTextScorer, Pooling
from opendasheng.model.bag_of_tokens import BagOfTokens, TokenizedTexts
from opendasheng.model.configuration import DashengConfig
from opendasheng.model.encoder import DashengEncoder
from opendasheng.model.loading import dasheng_encoder_of, read_safetensors
from opendasheng.model.sonar import SonarTexts, sonar_of

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
PIECES = "sentencepiece.source.256000.model"
"""SONAR's name for the model of its tokens, which GLAP's weights need beside them."""
_KIND = "opendasheng_audio_text"
_SIZES = ("embed_dim", "depth", "num_heads")


def load_audio_text(place: str | Path, device: torch.device | str = "cpu") -> AudioTextScorer:
    """The model of a folder of our own, or GLAP's released weights: a safetensors file, or a folder with one, and
    :data:`PIECES` beside it. Float32.

    Raises :class:`CheckpointError` for what is missing, damaged or of another model, and :class:`ConfigError` where
    GLAP needs a package.
    """
    place = Path(place)
    if place.is_dir() and (place / CONFIG).is_file() and _config(place).get("model_type") == _KIND:
        model, texts = load_own(place)
        return AudioTextScorer(model, texts, device)
    weights = place if not place.is_dir() else next(iter(sorted(place.glob("*.safetensors"))), None)
    if weights is None:
        pickle = next(iter(sorted(place.glob("*.pt"))), None)
        way = f": convert {pickle} by `opendasheng export --from-pickle {pickle} --output FOLDER`" if pickle else ""
        raise CheckpointError(f"{place}: no safetensors file of an audio-text model{way}")
    tensors, metadata = read_safetensors(weights)
    return AudioTextScorer(glap_of(tensors, weights, metadata), SonarTexts(weights.with_name(PIECES)), device)


def glap_of(tensors: Mapping[str, Tensor], where: Path, metadata: Mapping[str, str] | None = None) -> AudioTextModel:
    """GLAP with the weights of its checkpoint, every one of which has its place; its sizes are read off their shapes,
    the heads of an audio tower of another size than published off the ``metadata``.

    Raises :class:`CheckpointError` with ``where``.
    """
    parts = {part: _below(tensors, part) for part in ("audio_encoder", "text_encoder", "audio_proj", "text_proj")}
    stray = tensors.keys() - {f"{part}.{name}" for part in parts for name in _names(tensors, part)}
    if stray or not all(parts.values()):
        missing = next((part for part, found in parts.items() if not found), None)
        what = f"it has {min(stray)}" if stray else f"it has no {missing}"
        raise CheckpointError(f"{where}: these are no weights of GLAP: {what}")
    audio_encoder = dasheng_encoder_of(where, parts["audio_encoder"], metadata)
    try:
        text_encoder = sonar_of(parts["text_encoder"])
        embed_size, text_dim = parts["text_proj"]["0.weight"].shape
        model = AudioTextModel(audio_encoder, text_encoder, text_dim, embed_size, "chunks")
        for name, proj in (("audio_proj", model.audio_proj), ("text_proj", model.text_proj)):
            proj.load_state_dict({key: tensor.float() for key, tensor in parts[name].items()})
    except (CheckpointError, KeyError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{where}: these are no weights of GLAP: {words}") from error
    return model.eval()


def save_own(model: AudioTextModel, texts: TokenizedTexts, folder: Path) -> None:
    """A model whose text tower is a bag of tokens, as a folder, whole or not at all."""
    bag = model.text_encoder
    assert isinstance(bag, BagOfTokens)
    config = {
        "model_type": _KIND,
        "embed_size": model.embed_size,
        "pooling": model.pooling,
        "audio_encoder": {size: getattr(model.audio_encoder.config, size) for size in _SIZES},
        "text_encoder": {"vocab_size": bag.embedding.num_embeddings, "width": bag.embedding.embedding_dim},
    }
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    with replacing_folder(folder) as temporary:
        (temporary / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        texts.tokenizer.save(str(temporary / TOKENIZER))
        save_file(tensors, temporary / WEIGHTS, metadata={"format": "pt"})


def load_own(folder: Path) -> tuple[AudioTextModel, TokenizedTexts]:
    """The inverse of :func:`save_own`, float32 and in evaluation mode. Raises :class:`CheckpointError`."""
    config = _config(folder)
    tensors, _ = read_safetensors(folder / WEIGHTS)
    try:
        encoder = DashengEncoder(DashengConfig(**{size: config["audio_encoder"][size] for size in _SIZES}))
        sizes = config["text_encoder"]
        bag = BagOfTokens(sizes["vocab_size"], sizes["width"])
        if config["pooling"] not in get_args(Pooling):
            raise ConfigError(f"pooling {config['pooling']!r}")
        model = AudioTextModel(encoder, bag, sizes["width"], config["embed_size"], config["pooling"])
        model.load_state_dict({name: _in_float(tensor) for name, tensor in tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        words = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder}: {CONFIG} and {WEIGHTS} do not fit ({words}); get both again") from error
    return model.eval(), TokenizedTexts.read(folder / TOKENIZER)


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG}: it cannot be read ({error}); get it again") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{folder / CONFIG}: it holds no table; get it again")
    return found


def _names(tensors: Mapping[str, Tensor], part: str) -> list[str]:
    return [name.removeprefix(f"{part}.") for name in tensors if name.startswith(f"{part}.")]


def _below(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Tensors of a part, by their names in it; the published towers have theirs in one more ``model``."""
    return {name.removeprefix("model."): tensors[f"{part}.{name}"] for name in _names(tensors, part)}


def _in_float(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor

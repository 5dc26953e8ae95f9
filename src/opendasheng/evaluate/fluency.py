"""The fluency checker of FENSE: a BERT with a linear classifier, whose last output says that a sentence is broken.

A model is one of two things:

- a folder with ``model.safetensors`` (``encoder.*`` as transformers' BertModel names its weights, ``clf.weight`` and
  ``clf.bias``), ``config.json`` (of that BertModel) and the files of its tokenizer;
- the released file ``echecker_clotho_audiocaps_base.ckpt`` (EVALUATION.md section 1) or one of its form: a mapping with
  ``model_type``, ``num_classes`` and ``state_dict``. Only tensors and plain values are read from it, nothing is run.
  Its tokenizer is taken from files beside it, else from the hub or its cache by the name ``model_type``.
"""

import hashlib
import json
import pickle
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendasheng.environment import is_offline
from opendasheng.errors import EvaluationError
from opendasheng.files import sha256

# The checker of the published figures, and the SHA-256 of the released files.
PUBLISHED = "echecker_clotho_audiocaps_base.ckpt"
RELEASED = {
    "echecker_clotho_audiocaps_base.ckpt": "1a719f090af70614bbdb9f9437530b7e133c48cfa4a58d964de0d47fc974a2fa",
    "echecker_clotho_audiocaps_tiny.ckpt": "90ed0ac5033ec497ec66d4f68588053813e085671136dae312097c96c504f673",
}
_LAYER = re.compile(r"encoder\.encoder\.layer\.(\d+)\.")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
# BERT and its small relatives, which the released checkers are, have heads of this width. No weight tells it.
_HEAD_WIDTH = 64
_OF_THIS_WIDTH = re.compile(r"(?:.*/)?bert-(?:base|large|tiny|mini|small|medium)[\w-]*")
_PUNCTUATION = re.compile(r"[^\w\s]")


def plain(text: str) -> str:
    """A text as the checker reads it: lower case, without punctuation."""
    return _PUNCTUATION.sub("", text).lower()


class FluencyModel:
    """A :class:`FluencyChecker` around a BertModel and the weights of its classifier.

    What it found is kept, since several metrics ask about the same answers. ``is_stand_in`` is False only for the
    released file that made the published figures.
    """

    def __init__(
        self, encoder: Any, weight: Any, bias: Any, tokenizer: Any, name: str, *, is_stand_in: bool, batch_size: int
    ) -> None:
        """``weight`` float32 ``(C, D)`` and ``bias`` ``(C,)`` on the device of ``encoder``."""
        self.name = name
        self.is_stand_in = is_stand_in
        self._encoder, self._weight, self._bias = encoder, weight, bias
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._known: dict[tuple[str, int], float] = {}

    def __call__(self, texts: list[str], max_pieces: int = 256) -> NDArray[np.float32]:
        """Probabilities float32 ``(len(texts),)``."""
        from opendasheng.evaluate.sentences import encodable, equal_lengths

        keys = [
            (encodable(plain(text)), min(max_pieces, self._encoder.config.max_position_embeddings)) for text in texts
        ]
        new = sorted(set(keys) - self._known.keys())
        if new:
            read = self._tokenizer([text for text, _ in new], truncation=True, max_length=new[0][1])["input_ids"]
            for rows in equal_lengths([len(ids) for ids in read], self._batch_size):
                found = self._probabilities([read[row] for row in rows])
                self._known.update(zip((new[row] for row in rows), found, strict=True))
        return np.array([self._known[key] for key in keys], dtype=np.float32)

    def _probabilities(self, ids: list[list[int]]) -> list[float]:
        import torch

        pieces = torch.tensor(ids, device=self._encoder.device)
        with torch.inference_mode():
            hidden = self._encoder(input_ids=pieces, attention_mask=torch.ones_like(pieces)).last_hidden_state[:, 0]
            logits = torch.nn.functional.linear(hidden, self._weight, self._bias)
            found: list[float] = torch.sigmoid(logits)[:, -1].tolist()
        return found


def load_fluency_model(name: str, *, batch_size: int = 64, device: str = "auto") -> FluencyModel:
    """The checker of a folder or a .ckpt file, as this module describes them.

    Raises :class:`EvaluationError`, in one line: nothing there, damaged, another checksum than the released file of
    that name has, weights that do not fit, no tokenizer.
    """
    from transformers import BertConfig

    from opendasheng.devices import pick_device
    from opendasheng.engine import quiet_transformers

    path = Path(name).expanduser()
    if path.is_dir():
        tensors, digest = _read_folder(path, name)
        config = _attempt(partial(BertConfig.from_pretrained, path, local_files_only=True), f"{name}: config.json")
        tokenizer_at = str(path)
    elif path.is_file():
        tensors, tokenizer_at, model_type, digest = _read_checkpoint(path, name)
        config = BertConfig(**_shape(tensors, name), num_attention_heads=_num_heads(path, model_type, tensors, name))
    else:
        raise EvaluationError(
            f"{name}: no such folder or file; --fluency-model takes a folder with safetensors or a .ckpt"
        )
    picked = pick_device(device)
    with quiet_transformers():
        encoder = _encoder(config, tensors, name).to(picked)
        tokenizer = _tokenizer(tokenizer_at, name)
    if picked.type == "cpu":
        from opendasheng.evaluate.sentences import quicken

        quicken(encoder)
    weight, bias = (tensors[f"clf.{part}"].float().to(picked) for part in ("weight", "bias"))
    shown, stand_in = f"{name} ({digest[:8]})", digest != RELEASED[PUBLISHED]
    return FluencyModel(encoder, weight, bias, tokenizer, shown, is_stand_in=stand_in, batch_size=batch_size)


def _read_folder(path: Path, name: str) -> tuple[dict[str, Any], str]:
    from safetensors.torch import load

    file = path / "model.safetensors"
    if not file.is_file() or not (path / "config.json").is_file():
        raise EvaluationError(
            f"{name}: a fluency model is a folder with model.safetensors, config.json and a tokenizer"
        )
    content = file.read_bytes()
    return _attempt(partial(load, content), str(file)), hashlib.sha256(content).hexdigest()


def _read_checkpoint(path: Path, name: str) -> tuple[dict[str, Any], str, str, str]:
    """State dict, where the tokenizer is, what kind of BERT it is, and SHA-256 of a .ckpt file."""
    import torch

    digest = sha256(path)
    if path.name in RELEASED and digest != RELEASED[path.name]:
        raise EvaluationError(
            f"{name}: its SHA-256 {digest[:16]}... is not that of the released file of this name "
            f"({RELEASED[path.name][:16]}...); fetch it again, or rename a file of your own"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise EvaluationError(
            f"{name}: the pickle wants to run code or is damaged, and is refused; make a folder with safetensors of it"
        ) from error
    except Exception as error:  # a damaged file ends in whatever its bytes lead to
        raise EvaluationError(f"{name}: no PyTorch checkpoint, or a damaged one ({type(error).__name__})") from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    model_type = content.get("model_type") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not isinstance(model_type, str):
        raise EvaluationError(f"{name}: no fluency model: it lacks 'state_dict' or 'model_type'")
    beside = any((path.parent / file).is_file() for file in _TOKENIZER_FILES)
    return dict(state), str(path.parent) if beside else model_type, model_type, digest


def _num_heads(path: Path, model_type: str, tensors: dict[str, Any], name: str) -> int:
    """Attention heads of a checkpoint: what a config.json beside it says, else that of the model it was made from."""
    width = int(tensors["encoder.embeddings.word_embeddings.weight"].shape[1])
    beside = path.parent / "config.json"
    if not beside.is_file() and _OF_THIS_WIDTH.fullmatch(model_type):
        return max(1, width // _HEAD_WIDTH)
    where = str(beside) if beside.is_file() else model_type
    what = f"{name}: the config of its model ({where}), which tells its heads; put config.json beside it"
    num_heads = int(_attempt(partial(_config_of, where), what)["num_attention_heads"])
    if num_heads < 1 or width % num_heads:
        raise EvaluationError(f"{name}: the config of its model ({where}) has {num_heads} heads for {width} values")
    return num_heads


def _config_of(where: str) -> dict[str, Any]:
    """A config.json by its path, or that of a folder or a model of the hub. (transformers takes a missing one for
    the defaults.)"""
    from huggingface_hub import hf_hub_download

    path = Path(where)
    if path.is_dir():
        path /= "config.json"
    elif not path.is_file():
        path = Path(hf_hub_download(where, "config.json", local_files_only=is_offline()))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _shape(tensors: dict[str, Any], name: str) -> dict[str, int]:
    """What a BERT's config says of sizes, from the shapes of its weights."""
    try:
        vocab_size, width = tensors["encoder.embeddings.word_embeddings.weight"].shape
        return {
            "vocab_size": vocab_size,
            "hidden_size": width,
            "num_hidden_layers": 1 + max(int(match[1]) for key in tensors if (match := _LAYER.match(key))),
            "intermediate_size": tensors["encoder.encoder.layer.0.intermediate.dense.weight"].shape[0],
            "max_position_embeddings": tensors["encoder.embeddings.position_embeddings.weight"].shape[0],
            "type_vocab_size": tensors["encoder.embeddings.token_type_embeddings.weight"].shape[0],
        }
    except (KeyError, ValueError) as error:
        raise EvaluationError(f"{name}: its state_dict is not that of a BERT under 'encoder.' ({error})") from error


def _encoder(config: Any, tensors: dict[str, Any], name: str) -> Any:
    from transformers import BertModel

    own = {key.removeprefix("encoder."): tensor for key, tensor in tensors.items() if key.startswith("encoder.")}
    own.pop("embeddings.position_ids", None)  # a buffer that older releases of transformers stored
    encoder = BertModel(config, add_pooling_layer=any(key.startswith("pooler.") for key in own)).float().eval()
    try:
        encoder.load_state_dict(own)
    except RuntimeError as error:
        raise EvaluationError(f"{name}: the weights do not fit ({' '.join(str(error).split())[:200]})") from error
    weight, bias = tensors.get("clf.weight"), tensors.get("clf.bias")
    if weight is None or bias is None or tuple(weight.shape) != (len(bias), config.hidden_size):
        raise EvaluationError(f"{name}: it has no classifier clf.weight, clf.bias on {config.hidden_size} values")
    return encoder


def _tokenizer(where: str, name: str) -> Any:
    from transformers import AutoTokenizer

    offline = is_offline()
    load = partial(AutoTokenizer.from_pretrained, where, local_files_only=offline)
    return _attempt(load, f"{name}: its tokenizer ({where}); put tokenizer.json or vocab.txt beside it")


def _attempt(load: Any, what: str) -> Any:
    try:
        return load()
    except Exception as error:  # a damaged file ends in whatever its bytes lead to
        words = " ".join(str(error).split())[:200]
        raise EvaluationError(f"{what} cannot be loaded ({type(error).__name__}: {words})") from error

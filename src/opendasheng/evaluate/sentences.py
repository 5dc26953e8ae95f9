"""Sentence vectors for the metrics that compare meanings: a model of the sentence-transformers library.

Torch and the library are loaded when a model is. Texts are encoded in groups of exactly as many word pieces, so that
nothing is padded: a vector does not depend on the batch that its text is in, and no time goes into padding.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendasheng import hub
from opendasheng.errors import CheckpointError, EvaluationError
from opendasheng.evaluate.metrics.base import FluencyChecker, Pieces, Resources, WordEncoder

Vectors = NDArray[np.float32]

# The model of the published figures, and what its config.json says.
PUBLISHED = "paraphrase-TinyBERT-L6-v2"
_PUBLISHED_SHAPE = {
    "model_type": "bert",
    "num_hidden_layers": 6,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "vocab_size": 30522,
}
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
_CHUNK = 1024


def resources(
    sentence_model: str | None, fluency_model: str | None = None, *, batch_size: int = 64, device: str = "auto"
) -> Resources:
    """What metrics may load, each once and when it is first asked for.

    ``sentence_model`` is a folder or a hub id of sentence-transformers, ``fluency_model`` what
    :func:`opendasheng.evaluate.fluency.load_fluency_model` takes, ``batch_size`` how many sentences at a time. None
    leaves a model out, and a metric that needs it raises.
    """
    sentences: Callable[[], WordEncoder] | None = None
    fluency: Callable[[], FluencyChecker] | None = None
    if sentence_model is not None:
        sentences = cache(partial(load_sentence_model, sentence_model, batch_size=batch_size, device=device))
    if fluency_model is not None:
        from opendasheng.evaluate.fluency import load_fluency_model

        fluency = cache(partial(load_fluency_model, fluency_model, batch_size=batch_size, device=device))
    return Resources(sentences, fluency)


class SentenceModel:
    """A :class:`WordEncoder` around a loaded SentenceTransformer.

    ``name`` is its hub id, or the last two names of its folder's path, and 8 hex digits of its weights' SHA-256.
    ``is_stand_in`` is False only for the model of the published figures, see :func:`is_published`.
    """

    def __init__(self, model: Any, name: str, *, is_stand_in: bool, batch_size: int) -> None:
        tokenizer = model.tokenizer
        self.name = name
        self.is_stand_in = is_stand_in
        self.first, self.last = int(tokenizer.cls_token_id), int(tokenizer.sep_token_id)
        self.ignored = frozenset((int(tokenizer.pad_token_id), self.first, self.last))
        self._model = model
        self._batch_size = batch_size

    def __call__(self, texts: list[str]) -> Vectors:
        """Unit vectors float32 ``(len(texts), D)``."""
        return self._encoded(self.pieces(texts), None)

    def num_cut(self, texts: list[str]) -> int:
        """How many of the texts are longer than the model reads."""
        longest = self._model.max_seq_length
        if longest is None or not texts:
            return 0
        texts = [encodable(text) for text in texts]
        lengths = (len(ids) for ids in self._model.tokenizer(texts, truncation=False, verbose=False)["input_ids"])
        return sum(length > longest for length in lengths)

    def pieces(self, texts: list[str]) -> list[Pieces]:
        """Numbers of the word pieces of each text, int64, as the model reads it."""
        texts = [encodable(text) for text in texts]
        preprocess = getattr(self._model, "preprocess", None) or self._model.tokenize  # its name before release 6
        found: list[Pieces] = []
        for start in range(0, len(texts), _CHUNK):
            features = preprocess(texts[start : start + _CHUNK])
            numbers, there = features["input_ids"].cpu().numpy(), features["attention_mask"].cpu().numpy() > 0
            found += [row[kept].astype(np.int64) for row, kept in zip(numbers, there, strict=True)]
        return found

    def piece_vectors(self, pieces: Pieces) -> Vectors:
        """The input vectors of pieces, float32 ``(len(pieces), E)``; neither positions nor segments are in them."""
        import torch

        table = self._model[0].auto_model.get_input_embeddings().weight
        with torch.inference_mode():
            found: Vectors = table[torch.from_numpy(pieces).to(table.device)].float().cpu().numpy()
        return found

    def encode_weighted(self, sentences: list[Pieces], weights: list[Vectors]) -> Vectors:
        """Unit vectors float32 ``(len(sentences), D)`` with each piece's input vector multiplied by its weight."""
        return self._encoded(sentences, weights)

    def _encoded(self, sentences: list[Pieces], weights: list[Vectors] | None) -> Vectors:
        found: Vectors | None = None
        for rows in equal_lengths([len(pieces) for pieces in sentences], self._batch_size):
            vectors = self._forward(
                np.stack([sentences[row] for row in rows]),
                None if weights is None else np.stack([weights[row] for row in rows]),
            )
            if found is None:
                found = np.empty((len(sentences), vectors.shape[1]), dtype=np.float32)
            found[rows] = vectors
        return np.empty((0, 0), dtype=np.float32) if found is None else found

    def _forward(self, sentences: Pieces, weights: Vectors | None) -> Vectors:
        """Vectors of sentences of one length: both are ``(B, L)``, the result is ``(B, D)``."""
        import torch

        pieces = torch.from_numpy(sentences).to(self._model.device)
        features = {"attention_mask": torch.ones_like(pieces), "token_type_ids": torch.zeros_like(pieces)}
        with torch.inference_mode():
            if weights is None:
                features["input_ids"] = pieces
            else:
                inputs = self._model[0].auto_model.get_input_embeddings()(pieces)
                features["inputs_embeds"] = inputs * torch.from_numpy(weights).to(pieces.device)[..., None]
            vectors = torch.nn.functional.normalize(self._model(features)["sentence_embedding"], dim=-1)
        found: Vectors = vectors.float().cpu().numpy()
        return found


def encodable(text: str) -> str:
    """A text that UTF-8 can hold: half a surrogate pair, which JSON can bring, becomes a question mark."""
    return text.encode(errors="replace").decode()


def equal_lengths(lengths: list[int], batch_size: int) -> Iterator[list[int]]:
    """Row numbers in groups of at most ``batch_size`` rows of one length, short ones first."""
    groups: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        groups.setdefault(length, []).append(row)
    for length in sorted(groups):
        rows = groups[length]
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size]


def load_sentence_model(name: str, *, batch_size: int = 64, device: str = "auto") -> SentenceModel:
    """A model of sentence-transformers: a folder with its modules.json, or a hub id (without an owner, the library's).

    Only safetensors are read, in float32. HF_HUB_OFFLINE and OPENDASHENG_OFFLINE hold. Raises
    :class:`EvaluationError`, in one line, for one that is not there, is damaged, or is no model of word pieces.
    """
    library = _library()
    folder = _folder(name)
    weights = sorted(folder.rglob("*.safetensors"))
    if not (folder / "modules.json").is_file():
        raise EvaluationError(
            f"{name}: no modules.json, so this is no sentence-transformers model; name another folder"
        )
    if not weights:
        raise EvaluationError(
            f"{name}: it holds no safetensors, and pickles are refused; save it with safe_serialization"
        )
    from opendasheng.devices import pick_device
    from opendasheng.engine import quiet_transformers

    picked = pick_device(device)
    options = {"use_safetensors": True, "dtype": "float32"}
    try:
        with quiet_transformers():
            model = library.SentenceTransformer(
                str(folder), device=str(picked), local_files_only=True, model_kwargs=options
            ).eval()
    except Exception as error:  # a damaged folder ends in whatever its files lead to
        raise EvaluationError(f"{name}: it cannot be loaded as a sentence model ({_words(error)})") from error
    if not hasattr(model[0], "auto_model") or getattr(model.tokenizer, "cls_token_id", None) is None:
        raise EvaluationError(f"{name}: it is no transformer with [CLS] and [SEP] pieces, which these metrics need")
    if getattr(model, "default_prompt_name", None):
        raise EvaluationError(f"{name}: it puts a prompt before texts, which these metrics have not")
    if picked.type == "cpu":
        quicken(model)
    digest = hashlib.sha256()
    for path in weights:
        digest.update(path.read_bytes())
    stand_in = not is_published(name, folder)
    # A folder by its last two names: reports must not differ by where it lies.
    shown = "/".join(folder.resolve().parts[-2:]) if Path(name).expanduser().is_dir() else name
    return SentenceModel(model, f"{shown} ({digest.hexdigest()[:8]})", is_stand_in=stand_in, batch_size=batch_size)


def is_published(name: str, folder: Path) -> bool:
    """Whether this is the model of the published figures: by the shape that config.json states, and by its name.

    It must be called so: a hub id or folder of exactly this name, or the hub's cache of it. A renamed copy counts as a
    stand-in, better one note too many than a figure that is none; what config.json says that it was trained from does
    not help, since that may be a fine-tuned one.
    """
    config: dict[str, Any] = {}
    for path in (folder / "config.json", folder / "0_Transformer" / "config.json"):
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8"))
            break
    fits = all(config.get(key) == value for key, value in _PUBLISHED_SHAPE.items())
    parts = folder.resolve().parts  # in the cache: models--sentence-transformers--NAME/snapshots/REVISION
    names = (name.rstrip("/").rpartition("/")[2], parts[-1], parts[-3].rpartition("--")[2] if len(parts) > 2 else "")
    return fits and PUBLISHED.lower() in (text.lower() for text in names)


def quicken(module: Any) -> None:
    """Let oneDNN multiply in the linear layers of a model that is only run on the CPU, about twice as fast, in float32.

    Torch hands float32 products to MKL, which leaves the wide registers of AMD's processors unused.
    """
    import torch

    if not torch.backends.mkldnn.is_available():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is built on TorchScript
        from torch.utils.mkldnn import to_mkldnn

        to_mkldnn(module)


def _library() -> Any:
    try:
        import sentence_transformers
    except ImportError as error:
        raise EvaluationError(
            "sentence vectors need the extra: pip install 'opendasheng[evaluate]' (it brings sentence-transformers)"
        ) from error
    return sentence_transformers


def _folder(name: str) -> Path:
    given = Path(name).expanduser()
    if given.is_dir():
        return given
    if given.exists() or not _HUB_ID.fullmatch(name) or name.startswith("."):
        raise EvaluationError(f"{name}: no such folder, and no hub id either; --sentence-model takes one of them")
    try:
        return hub.download(name if "/" in name else f"sentence-transformers/{name}")
    except CheckpointError as error:
        raise EvaluationError(str(error)) from error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]

"""Pickled checkpoints as safetensors; nothing that a pickle asks for is run (SPEC 5.1)."""

import json
import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.model.audio_text_files import glap_of
from opendasheng.model.loading import load_dasheng_encoder, rename_dasheng

# Where trainers keep the weights inside a checkpoint.
_NESTS = ("model", "state_dict", "model_state_dict", "module")
# Buffers that repeat a number or a row are small.
_FREELY_REPEATED_BYTES = 2**24
# What of the files beside the weights of a whole model belongs to it; whatever else lies there is nobody's to publish.
_COMPANIONS = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)


@dataclass(frozen=True)
class Exported:
    """The file that was written, and what of the pickle is not in it, a line each."""

    path: Path
    notes: tuple[str, ...]


def export_pickle(source: str | Path, folder: str | Path, *, num_heads: int | None = None) -> Exported:
    """Convert a pickle to ``folder/model.safetensors``; names, shapes, types and values of the tensors stay.

    An original Dasheng checkpoint (``{"model": ..., "config": ...}`` or a bare state dict) gives a file that
    :func:`opendasheng.model.load_dasheng_encoder` reads; this is tried before the file appears. Its config is kept in
    the metadata, with ``num_heads`` where that is given: no tensor tells it for an unpublished size. The weights of a
    whole MiDashengLM take config, tokenizer, templates and settings beside them along, by the names that the released
    layout has, so that ``folder`` is a model folder. GLAP's keep their names; all of them are tried too.

    Raises :class:`CheckpointError` for what is missing, damaged, no checkpoint, or would have to run code;
    :class:`ConfigError` when ``folder`` holds a model already.
    """
    source, folder = Path(source), Path(folder)
    target = folder / "model.safetensors"
    if target.exists() or (folder / "config.json").exists():
        raise ConfigError(f"{folder}: it holds a model already; choose another folder, nothing is overwritten")
    try:
        tensors, config, notes = _find_tensors(_unpickle(source), source)
    except RecursionError as error:
        raise CheckpointError(f"{source}: its tables hold each other without end; fetch it again") from error
    _require_plain(tensors, source)
    is_whole_model = any(name.startswith("decoder.") for name in tensors)
    is_pair = any(name.startswith("text_encoder.") for name in tensors)
    if not is_whole_model and not is_pair:
        dropped = sorted(name for name in tensors if re.match(r"((audio_)?encoder\.)?front_end\.", name))
        notes += [f"left out {name}: the front-end is computed" for name in dropped]
        tensors = rename_dasheng(tensors)
    if num_heads is not None:
        config["num_heads"] = num_heads
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as scratch:
        written = Path(scratch) / target.name
        # Copies, since safetensors refuses tensors that share memory (tied heads).
        plain = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        save_file(plain, written, {"format": "pt", "config": json.dumps(config, default=str)})
        if is_whole_model:
            for name in _COMPANIONS:
                if (source.parent / name).is_file():
                    shutil.copyfile(source.parent / name, folder / name)
        elif is_pair:
            glap_of(plain, source, {"config": json.dumps(config, default=str)})
        else:
            _require_dasheng(written, source)
        written.replace(target)
    return Exported(target, tuple(notes))


def _require_plain(tensors: Mapping[str, Tensor], source: Path) -> None:
    """Refuse what safetensors cannot hold, and a few bytes that a pickle shows as a tensor larger than any memory."""
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            kind = "on no device" if tensor.is_meta else "quantised" if tensor.is_quantized else "sparse"
            raise CheckpointError(f"{source}: {name} is {kind}; save it as a plain tensor")
        size, there = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
        if size > max(there, _FREELY_REPEATED_BYTES):
            raise CheckpointError(f"{source}: {name} makes {size} bytes of {there}; save it as a plain tensor")


def _require_dasheng(written: Path, source: Path) -> None:
    try:
        load_dasheng_encoder(written)
    except CheckpointError as error:
        words = str(error).replace(str(written), str(source))
        hint = "; name the heads with --num-heads" if "num_heads" in words else ""
        raise CheckpointError(f"{words}{hint}") from error


def _unpickle(source: Path) -> Any:
    """What the pickle holds. Only tensors and plain containers are made: ``weights_only`` refuses all else."""
    if not source.is_file():
        raise CheckpointError(f"{source}: no such file")
    try:
        # Files of torch before 1.6 are no zip archives and cannot be mapped.
        return torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)|global (\S+)", str(error))
        if wanted is not None:
            name = (wanted[1] or wanted[2]).rstrip(".,")
            raise CheckpointError(
                f"{source}: this pickle wants to run code ({name}), which is refused; if its origin is trusted, save "
                "its state_dict() alone"
            ) from error
        raise CheckpointError(f"{source}: not a PyTorch checkpoint, or a damaged one; fetch it again") from error
    except Exception as error:  # a damaged file ends in whatever its bytes lead to
        words = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{source}: not a PyTorch checkpoint, or a damaged one ({words}); fetch it again"
        ) from error


def _find_tensors(pickled: Any, source: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    """The state dict of a checkpoint, its config, and notes on what is neither."""
    if not isinstance(pickled, Mapping):
        raise CheckpointError(f"{source}: it holds a {type(pickled).__name__}, not a state dict")
    nest = next((name for name in _NESTS if isinstance(pickled.get(name), Mapping)), None)
    state = pickled if nest is None else pickled[nest]
    config = pickled.get("config", {}) if nest is not None else {}
    notes = [f"left out {name}: not weights" for name in pickled if nest is not None and name not in (nest, "config")]
    if not isinstance(config, Mapping):
        notes.append(f"left out config: it is a {type(config).__name__}, not a table")
        config = {}
    tensors = dict(_tensors(state, ""))
    notes += [f"left out {name}: a {type(value).__name__}, not a tensor" for name, value in _others(state, "")]
    if not tensors:
        raise CheckpointError(f"{source}: there is no tensor in it")
    return tensors, dict(config), notes


def _tensors(state: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in state.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Mapping):
            yield from _tensors(value, f"{prefix}{name}.")


def _others(state: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in state.items():
        if isinstance(value, Mapping):
            yield from _others(value, f"{prefix}{name}.")
        elif not isinstance(value, Tensor):
            yield f"{prefix}{name}", value

"""Checkpoints, strictly: safetensors only, every tensor accounted for by name and shape (SPEC 5)."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from opendasheng.errors import CheckpointError
from opendasheng.model.configuration import DashengConfig
from opendasheng.model.encoder import DashengEncoder

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_SHOWN = 5

# Heads of the published Dasheng sizes by (embed_dim, depth): the one number that no tensor shape tells (SPEC 2).
_DASHENG_HEADS = {(768, 12): 12, (1280, 32): 16, (1536, 40): 24}


def strict_from_pretrained(load: Callable[..., Any], folder_or_id: Any, *args: Any, **options: Any) -> Any:
    """Run transformers' ``from_pretrained`` so that a tensor without a place, or a place without a tensor, is an error.

    Raises :class:`CheckpointError` for those, for pickles, for damaged files and for a missing ``config.json``.
    """
    wants_info = options.pop("output_loading_info", False)
    if folder_or_id is None:  # a state_dict was handed in
        return load(None, *args, output_loading_info=wants_info, **options)
    check_folder(folder_or_id)
    options["use_safetensors"] = True
    options["ignore_mismatched_sizes"] = True  # so that they are all reported, below
    try:
        model, info = load(folder_or_id, *args, output_loading_info=True, **options)
    except SafetensorError as error:
        raise CheckpointError(f"{folder_or_id}: a safetensors file is damaged ({error}): download it again") from error
    complaints = [
        *(f"missing {name}" for name in sorted(info["missing_keys"])),
        *(f"unexpected {name}" for name in sorted(info["unexpected_keys"])),
        *(
            f"{name} has shape {list(stored)}, the config asks for {list(wanted)}"
            for name, stored, wanted in sorted(info["mismatched_keys"])
        ),
        *info.get("error_msgs", []),
    ]
    if complaints:
        raise CheckpointError(f"{folder_or_id}: the weights do not fit config.json: {_shorten(complaints)}")
    return (model, info) if wants_info else model


def check_folder(folder_or_id: Any) -> None:
    """Raise :class:`CheckpointError` for a folder without config or safetensors; what is no folder is left alone."""
    folder = Path(folder_or_id)
    if not folder.is_dir():
        return
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: no config.json, so this is not a model folder")
    if next(folder.glob("*.safetensors"), None) is None:
        pickle = next((path for pattern in _PICKLES for path in sorted(folder.glob(pattern))), None)
        if pickle is not None:
            raise CheckpointError(
                f"{pickle}: pickled weights can run code and are not loaded: convert them with "
                f"`opendasheng export --from-pickle {pickle} --output FOLDER`"
            )
        raise CheckpointError(f"{folder}: no *.safetensors file in this model folder")


def _shorten(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return "; ".join(items[:_SHOWN]) + more


def load_dasheng_encoder(path: str | Path) -> DashengEncoder:
    """An encoder from an original Dasheng checkpoint in safetensors form (see ``opendasheng export --from-pickle``).

    Accepts the original names (``init_bn.1.*``, an ``encoder.`` prefix), drops the stored front-end constants, and
    reads the size off the shapes. Float32, in evaluation mode. Raises :class:`CheckpointError` for a pickle, a
    missing or unexpected tensor, a wrong shape, or a size whose number of heads is unknown.
    """
    path = Path(path)
    tensors, metadata = read_safetensors(path)
    return dasheng_encoder_of(path, tensors, metadata)


def dasheng_encoder_of(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> DashengEncoder:
    """The same of tensors from ``path``, which errors name."""
    tensors = {name: tensor.float() for name, tensor in rename_dasheng(tensors).items()}
    encoder = DashengEncoder(_dasheng_config(path, tensors, metadata or {}))
    expected = encoder.state_dict()
    complaints = [
        *(f"missing {name}" for name in sorted(expected.keys() - tensors.keys()) if "num_batches_tracked" not in name),
        *(f"unexpected {name}" for name in sorted(tensors.keys() - expected.keys())),
        *(
            f"{name} has shape {list(tensors[name].shape)}, the config asks for {list(expected[name].shape)}"
            for name in sorted(expected.keys() & tensors.keys())
            if tensors[name].shape != expected[name].shape
        ),
    ]
    if complaints:
        raise CheckpointError(f"{path}: not a Dasheng encoder: {_shorten(complaints)}")
    encoder.load_state_dict(tensors, strict=False)
    return encoder.eval()


def save_dasheng_encoder(encoder: DashengEncoder, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """An encoder as a file that :func:`load_dasheng_encoder` takes, its weights in ``dtype``."""
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().contiguous()
        for name, value in encoder.state_dict().items()
    }
    sizes = json.dumps({"num_heads": encoder.config.num_heads})
    save_file(tensors, path, metadata={"format": "pt", "config": sizes})


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of one safetensors file; :class:`CheckpointError` when it is missing or is not one."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a safetensors file ({error}); a pickle is converted with "
            f"`opendasheng export --from-pickle {path} --output FOLDER`"
        ) from error


def rename_dasheng(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Original Dasheng names -> names of ``audio_encoder`` (SPEC 5.1); the stored front-end constants are left out."""
    renamed = {}
    for name, tensor in tensors.items():
        name = re.sub(r"^(encoder|audio_encoder)\.", "", name)
        if name.startswith("front_end."):
            continue
        renamed[re.sub(r"^init_bn\.1\.", "init_bn.", name)] = tensor
    return renamed


def _dasheng_config(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> DashengConfig:
    try:
        width, _, _, patches = tensors["time_pos_embed"].shape[1], 1, 1, tensors["time_pos_embed"].shape[3]
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{path}: not a Dasheng encoder: missing time_pos_embed [1, D, 1, T]") from error
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    stored = json.loads(metadata.get("config", "{}"))
    heads = stored.get("num_heads") or _DASHENG_HEADS.get((width, depth))
    if heads is None:
        known = ", ".join(f"{d}x{n}" for d, n in _DASHENG_HEADS)
        raise CheckpointError(
            f"{path}: an encoder of width {width} and depth {depth} is not a published size ({known}) and its metadata "
            "names no num_heads"
        )
    return DashengConfig(embed_dim=width, depth=depth, num_heads=heads, target_length=4 * patches)


def compute_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """``"auto"`` is float32, and bfloat16 on a CUDA device that has it; else the dtype that is named."""
    if isinstance(name, torch.dtype):
        return name
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    names = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    dtype = getattr(torch, names.get(name, name), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise CheckpointError(f"dtype {name!r} is not one of auto, float32, bfloat16, float16")
    return dtype

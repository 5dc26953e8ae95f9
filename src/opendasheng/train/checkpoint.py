"""Checkpoints of a run: what learns of the weights, and optimiser state, as safetensors, the step as JSON; never a
pickle. What is frozen lies in the model of step 0."""

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from opendasheng.errors import TrainingError
from opendasheng.files import replacing_folder

_PREFIX = "step-"


def save_checkpoint(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, keep: int) -> Path:
    """Write ``folder/step-N`` whole or not at all, then drop all but the newest ``keep`` checkpoints.

    Raises :class:`TrainingError` where the disk takes no more; those before stay.
    """
    target = folder / f"{_PREFIX}{step:08d}"
    # One tensor under one name: a tied head is the embedding again.
    weights = {name: p.detach().contiguous() for name, p in _tensors(model).items()}
    state = {
        f"{index}.{key}": value.contiguous()
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }
    try:
        with replacing_folder(target) as temporary:
            save_file(weights, temporary / "model.safetensors")
            save_file(state, temporary / "optimizer.safetensors")
            (temporary / "state.json").write_text(json.dumps({"step": step}) + "\n")
    except (OSError, SafetensorError) as error:
        last = next((f"the last one is {path}" for path in reversed(checkpoints(folder))), "there is none yet")
        raise TrainingError(
            f"{target}: this checkpoint cannot be written ({error}); {last}: make room, and the same command goes on"
        ) from error
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def load_checkpoint(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Put a checkpoint back in place and return its step. Raises :class:`TrainingError` when it does not fit."""
    try:
        step = int(json.loads((checkpoint / "state.json").read_text())["step"])
        weights = load_file(checkpoint / "model.safetensors")
        flat = load_file(checkpoint / "optimizer.safetensors")
        tensors = _tensors(model)
        if weights.keys() != tensors.keys():
            raise TrainingError(f"{checkpoint}: holds other tensors than this model; give the run another name")
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(weights[name])
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{checkpoint}: cannot be resumed ({error}); remove it to go on from the one before"
        ) from error
    whole = optimizer.state_dict()
    whole["state"] = {}
    for name, value in flat.items():
        index, key = name.split(".", 1)
        whole["state"].setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(whole)
    return step


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters that learn and stored buffers, each once."""
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    kept = model.state_dict(keep_vars=True)
    return named | {name: tensor for name, tensor in model.named_buffers() if name in kept}

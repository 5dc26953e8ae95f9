"""Low-rank adapters (LoRA, Hu et al. 2022) by peft: on what, put in, taken out, merged (paper 3.2, Table 4; law 5)."""

import difflib
import fnmatch
import json
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from peft import LoraConfig as PeftConfig
from peft import PeftModel, get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.files import replacing_folder
from opendasheng.model.parts import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from opendasheng.train.config import LoraConfig
from opendasheng.train.four_bit import plain_state

log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=nn.Module)

_PREFIX = "base_model.model."  # under which peft keeps the names of a model that it wraps
_NUMBER = re.compile(r"\.\d+\.")


def matches(model: nn.Module, targets: Sequence[str]) -> dict[str, list[str]]:
    """The linear layers that each target names. A head that is tied to the embedding is none of them: an adapter of it
    would not be one of the embedding, and merged it would change both.

    Raises :class:`ConfigError` for one that names none: a run would go on without what it was to train.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module.weight) not in tables
    ]
    found = {target: fnmatch.filter(linear, target) for target in targets}
    for target, names in found.items():
        if not names:
            kinds = sorted({_NUMBER.sub(".*.", name) for name in linear})
            near = sorted(kinds, key=lambda kind: -_likeness(kind, target))[:3]
            raise ConfigError(f"lora: target {target!r} matches no linear layer; there are {', '.join(near)}, ...")
    return found


def _likeness(name: str, other: str) -> float:
    """Of the last parts of two names, which say what a layer is."""
    return difflib.SequenceMatcher(None, name.rpartition(".")[2], other.rpartition(".")[2]).ratio()


def add_adapters(model: nn.Module, config: LoraConfig) -> dict[str, int]:
    """Put adapters into ``model``, whose own weights they leave as they are; how many layers each target names.

    Only the adapters are trainable afterwards. Names of the model's other tensors do not change, those of an adapted
    layer lie in its ``base_layer``. Raises what :func:`matches` does.
    """
    found = matches(model, config.targets)
    for target, names in found.items():
        log.info("lora: %d layers match %s", len(names), target)
    chosen = sorted({name for names in found.values() for name in names})
    inject_adapter_in_model(_peft_config(config, chosen), model)
    model.train(model.training)  # the dropout of new adapters is on, whatever the mode of the model
    freeze(model, ())
    return {target: len(names) for target, names in found.items()}


def _peft_config(config: LoraConfig, names: list[str]) -> PeftConfig:
    return PeftConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=names, bias="none"
    )


def freeze(model: nn.Module, trains: Sequence[str]) -> None:
    """Let the parts that are named learn, and the adapters, and nothing else."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "lora_" in name or name.startswith(tuple(f"{part}." for part in trains))


def has_adapters(model: nn.Module) -> bool:
    """Whether adapters are in ``model``."""
    return any(isinstance(module, LoraLayer) for module in model.modules())


def save_adapter(model: nn.Module, config: LoraConfig, folder: Path, base: str, trains: Sequence[str] = ()) -> None:
    """The adapters as a folder that peft's ``PeftModel.from_pretrained(model, folder)`` takes; ``base`` names the model
    that they belong to.

    Parts that ``trains`` names learnt in full, so the folder holds all of their weights, adapters of theirs merged
    (``modules_to_save`` of peft): without them it would give another model than the one that was trained. Where every
    adapter is in such a part nothing is left to write, and none is.
    """
    inside = tuple(f"{part}." for part in trains)
    chosen = [name for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    chosen = sorted(name for name in chosen if not name.startswith(inside))
    if not chosen:
        log.info("no %s is written: all adapters are in parts that learn in full (%s)", folder, ", ".join(trains))
        return
    described: dict[str, Any] = _peft_config(config, chosen).to_dict()  # type: ignore[no-untyped-call]
    described |= {"base_model_name_or_path": base, "inference_mode": True, "target_modules": chosen}
    described["modules_to_save"] = list(trains) or None
    adapters = get_peft_model_state_dict(model)
    tensors = {name: tensor for name, tensor in adapters.items() if not name.startswith(inside)}
    if trains:
        tensors |= merged_state(model, inside)
    tensors = {f"{_PREFIX}{name}": tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    with replacing_folder(folder) as temporary:
        save_file(tensors, temporary / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        plain = {key: sorted(value) if isinstance(value, set) else value for key, value in described.items()}
        (temporary / ADAPTER_CONFIG).write_text(json.dumps(plain, indent=1, sort_keys=True, default=str) + "\n")
    log.info(
        "adapters of %d layers are in %s%s", len(chosen), folder, f", and in full {', '.join(trains)}" * bool(trains)
    )


def merge_adapter(model: ModelT, folder: Path) -> ModelT:
    """``model`` with the adapters of ``folder`` (peft's form) added to its weights, by peft.

    Raises :class:`CheckpointError` where there are none, they are damaged, or belong to another model.
    """
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():  # else peft would ask the hub
            raise CheckpointError(f"{folder}: no {name}, so this is not a folder of adapters")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            merged: Any = PeftModel.from_pretrained(model, folder).merge_and_unload()
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        words = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder}: its adapters cannot be merged into this model ({words})") from error
    if missing := [str(warning.message) for warning in told if "missing adapter keys" in str(warning.message)]:
        raise CheckpointError(f"{folder}: its adapters are not complete ({' '.join(missing[0].split())[:300]})")
    return merged  # type: ignore[no-any-return]


@torch.no_grad()
def merged_state(model: nn.Module, within: tuple[str, ...] = ("",)) -> dict[str, torch.Tensor]:
    """The state dict of ``model`` with its adapters added to the weights, under the names of the model without them;
    of it what begins with one of ``within``.

    The model stays as it is, so a run that goes on does not train on rounded weights.
    """
    layers: dict[str, Any] = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    state = {}
    for name, tensor in plain_state(model).items():
        if "lora_" in name or not name.startswith(within):
            continue
        owner, _, kind = name.rpartition(".base_layer.")
        if owner in layers and kind == "weight":
            delta = layers[owner].get_delta_weight("default")
            tensor = (tensor.float() + delta.float()).to(tensor.dtype)
        state[f"{owner}.{kind}" if owner in layers else name] = tensor
    return state

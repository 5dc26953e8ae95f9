"""Frozen layers in 4 bits below adapters (QLoRA, Dettmers et al. 2023), by bitsandbytes: NF4, its scales in 8 bits."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from opendasheng.errors import ConfigError
from opendasheng.train.memory import blocks


def quantise(model: nn.Module, trains: Sequence[str]) -> int:
    """Put the linear layers of the blocks of ``model`` into 4 bits, but for parts that learn in full; how many.

    They take an eighth of the memory of float32; a weight is rounded by at most 15 % of the largest of its 64.
    Raises :class:`ConfigError` where bitsandbytes is missing.
    """
    try:
        from bitsandbytes.nn.modules import Linear4bit
    except ModuleNotFoundError as error:
        raise ConfigError("lora.four_bit needs the extra: pip install 'opendasheng[four-bit]'") from error
    found: dict[int, tuple[nn.Module, str, nn.Linear]] = {}
    for name, block in blocks(model):
        if not name.startswith(tuple(f"{part}." for part in trains)):
            for parent in block.modules():
                for child, layer in parent.named_children():
                    if type(layer) is nn.Linear:
                        found[id(layer)] = parent, child, layer
    for parent, child, layer in found.values():
        sizes = layer.in_features, layer.out_features, layer.bias is not None
        packed: Any = Linear4bit(*sizes, quant_type="nf4")  # type: ignore[no-untyped-call]
        # A form for answers on some CPUs: it rounds to bf16, and takes multiples of 32 rows alone.
        packed.support_avx512bf16_for_cpu = False
        packed.load_state_dict(layer.state_dict())
        setattr(parent, child, packed.to(layer.weight.device).train(layer.training))
    return len(found)


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of ``model``, weights in 4 bits as the float32 that they stand for."""
    state: dict[str, Tensor] = model.state_dict()
    for name, module in model.named_modules():
        if _is_packed(module):
            weight = f"{name}.weight"
            state = {key: tensor for key, tensor in state.items() if not key.startswith(f"{weight}.")}
            state[weight] = _unpacked(module)
    return state


def num_parameters(model: nn.Module) -> int:
    """Weights of ``model`` as it is saved: those in 4 bits too, of which one number holds two, and none of adapters,
    which are merged."""
    weights = [parameter for name, parameter in model.named_parameters() if "lora_" not in name]
    states = [(parameter, getattr(parameter, "quant_state", None)) for parameter in weights]
    return sum(parameter.numel() if state is None else state.shape.numel() for parameter, state in states)


def _is_packed(module: nn.Module) -> bool:
    return getattr(module._parameters.get("weight"), "quant_state", None) is not None


def _unpacked(module: Any) -> Tensor:
    from bitsandbytes.functional import dequantize_4bit

    weight = module.weight
    values: Tensor = dequantize_4bit(weight.data, weight.quant_state)
    return values.to(torch.float32)

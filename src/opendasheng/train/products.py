"""In what a run multiplies matrices: float32, bfloat16 (autocast), or float32 of which a CPU multiplies bfloat16."""

from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from opendasheng.errors import ConfigError

Precision = Literal["fp32", "bf16", "bf32"]

_MKLDNN: Any = torch.backends.mkldnn  # untyped


def precision_on(device: torch.device, wanted: Precision | Literal["auto"]) -> Precision:
    """What ``compute.precision`` means on ``device``: ``auto`` is bf16 on CUDA and fp32 elsewhere. Raises
    :class:`ConfigError` for bf32 on what cannot do it."""
    if wanted == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    if wanted == "bf32" and device.type != "cpu":
        raise ConfigError(f"compute.precision is bf32, which is of CPUs, not of {device}: take bf16, or auto")
    if wanted == "bf32" and not _has_units():
        raise ConfigError(
            "compute.precision is bf32, for which this CPU, or this torch, has no bfloat16 units (AMX or AVX-512 "
            "BF16): take fp32, or auto"
        )
    return wanted


def _has_units() -> bool:
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    settable = hasattr(getattr(_MKLDNN, "matmul", None), "fp32_precision")
    return settable and bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def multiply_in_bf32(model: nn.Module) -> int:
    """Let each linear layer of ``model`` round what it multiplies to bfloat16, forward and backward, where gradients
    are wanted; how many layers do.

    Sums are float32, and so is all that goes in and comes out: oneDNN rounds on the way to the units of the CPU. Only
    linear layers do, because torch's attention is slower like this: its products are many and small.
    """
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for layer in found:
        layer.forward = MethodType(_forward, layer)  # type: ignore[method-assign]
    return len(found)


def _forward(layer: nn.Linear, x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return nn.functional.linear(x, layer.weight, layer.bias)
    y: Tensor = _Product.apply(x, layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return y


class _Rounding:
    """Within it, torch multiplies float32 matrices in bfloat16."""

    def __enter__(self) -> None:
        self._before = _MKLDNN.matmul.fp32_precision
        _MKLDNN.matmul.fp32_precision = "bf16"

    def __exit__(self, *_: object) -> None:
        _MKLDNN.matmul.fp32_precision = self._before


class _Product(torch.autograd.Function):
    """A linear layer over the last axis of its input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        with _Rounding():
            return nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        rows_NO = gradient.reshape(-1, gradient.shape[-1])
        to_x = to_weight = to_bias = None
        with _Rounding():
            if ctx.needs_input_grad[0]:
                to_x = (rows_NO @ weight).view_as(x)
            if ctx.needs_input_grad[1]:
                to_weight = rows_NO.T @ x.reshape(-1, x.shape[-1])
        if ctx.needs_input_grad[2]:
            to_bias = rows_NO.sum(0)
        return to_x, to_weight, to_bias

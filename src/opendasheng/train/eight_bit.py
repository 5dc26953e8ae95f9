"""AdamW whose moments lie in 8 bits, in blocks of 256 with a scale each (Dettmers et al. 2022), by torchao.

A moment of fewer than 4096 numbers, or that blocks do not fill, stays in float32. Blocks are those of a process, which
others cut otherwise, so that a checkpoint holds float32, and for the same number of processes the scales.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from opendasheng.errors import ConfigError


def eight_bit_adamw(groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    """The optimiser. Raises :class:`ConfigError` where torchao is missing."""
    try:
        from torchao.optim import AdamW8bit
    except ModuleNotFoundError as error:
        raise ConfigError("optim.eight_bit needs the extra: pip install 'opendasheng[eight-bit]'") from error

    class Plainly(AdamW8bit):  # type: ignore[misc]
        """Without compiled kernels on CPU: there may be no compiler."""

        def step(self, closure: Any = None) -> Any:
            on_cpu = all(p.device.type == "cpu" for group in self.param_groups for p in group["params"])
            with torch.compiler.set_stance("force_eager") if on_cpu else nullcontext():
                return super().step(closure)

    return Plainly(list(groups), lr=lr, betas=betas)


def has_eight_bits(moment: Tensor) -> bool:
    """Whether this process keeps ``moment``, or its part of it, in 8 bits."""
    return hasattr(_local(moment), "codes")


def scale(moment: Tensor) -> Tensor:
    """The scales of an 8-bit moment, float32, one for each block of this process."""
    found: Tensor = _local(moment).scale
    return found


def unpacked(moment: Tensor) -> Tensor:
    """An 8-bit moment as float32, in parts if it is."""
    values: Tensor = _local(moment).dequantize(torch.float32)
    if not isinstance(moment, DTensor):
        return values
    return DTensor.from_local(
        values,
        moment.device_mesh,
        moment.placements,
        run_check=False,
        shape=moment.shape,
        stride=moment.stride(),
    )


def pack(values: Tensor, scale: Tensor | None, into: Tensor) -> None:
    """Write what :func:`unpacked` gave into an 8-bit moment: with its :func:`scale` to the bit, else rounded anew."""
    from torchao.optim.quant_utils import quantize_8bit_with_qmap

    target, local = _local(into), _local(values)
    if scale is None:
        target.copy_(local)
        return
    shares = local.view(len(scale), -1) / scale[:, None].clamp_min(torch.finfo(torch.float32).tiny)
    target.codes.copy_(quantize_8bit_with_qmap(shares, target.qmap).view(target.codes.shape))
    target.scale.copy_(scale)


def _local(moment: Tensor) -> Any:
    return moment.to_local() if isinstance(moment, DTensor) else moment

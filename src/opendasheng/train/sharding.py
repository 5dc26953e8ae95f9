"""A model whose weights, gradients and optimiser state lie in parts, one in each process (FSDP2)."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from opendasheng.train.world import World


def shard(
    model: nn.Module, units: Sequence[nn.Module], methods: Sequence[str], world: World, device: torch.device, over: int
) -> None:
    """Leave in each process of ``world`` its part of every parameter of ``model``, on ``device``.

    ``over`` processes that follow each other in rank hold the model between them, the next ``over`` hold it again, and
    so on (hybrid sharding); 0: all processes hold it once. ``over`` divides their number, and all of them hold the same
    ``model`` before. A unit is gathered whole for its forward and again for its backward pass, so every process calls
    each of ``units`` equally often, whatever its clips; what is in none of them stays gathered from the first of the
    model's ``methods`` (or ``forward``) to the end of the backward pass. Gradients are the sums over all processes.
    """
    if over in (0, world.size):
        mesh = init_device_mesh(device.type, (world.size,))
    else:
        mesh = init_device_mesh(device.type, (world.size // over, over), mesh_dim_names=("copies", "parts"))
    for module in (*units, model):
        fully_shard(module, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    for method in methods:
        register_fsdp_forward_method(model, method)


def num_copies(value: DTensor) -> int:
    """How many processes have the same part of a value."""
    return math.prod(
        size for size, place in zip(value.device_mesh.shape, value.placements, strict=True) if place.is_replicate()
    )


def whole(value: Tensor) -> Tensor:
    """A value of which each process may have a part."""
    return value.full_tensor() if isinstance(value, DTensor) else value


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """What is in no unit lies whole in each process while the body runs, so that the model's parts may be called."""
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()

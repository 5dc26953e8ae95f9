"""Gradients no longer than a limit, measured well enough that processes agree on their length."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from opendasheng.train.sharding import num_copies
from opendasheng.train.world import World


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float, world: World) -> float:
    """Shorten the gradients of ``parameters``, together, to the Euclidean length ``limit``; their length before.

    Squares are summed in float64 where the device has it (MPS does not): of a million, torch's float32 on a CPU loses
    1e-5 of the length, and another part of it where each process of ``world`` sums its own share. Gradients of which
    one number is not finite are left as they are, and so is the length.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    shared = [gradient for gradient in gradients if isinstance(gradient, DTensor)]
    squares = _sum_of_squares(gradient.to_local() for gradient in shared)
    [of_shares] = world.totals([squares / num_copies(shared[0])]) if shared else [0.0]
    length = math.sqrt(of_shares + _sum_of_squares(g for g in gradients if not isinstance(g, DTensor)))
    if limit < length < math.inf:
        for gradient in gradients:
            gradient.mul_(limit / length)
    return length


def _sum_of_squares(tensors: Iterable[torch.Tensor]) -> float:
    lengths = [
        torch.linalg.vector_norm(tensor, dtype=torch.float32 if tensor.device.type == "mps" else torch.float64)
        for tensor in tensors
    ]
    return float(torch.stack(lengths).square().sum()) if lengths else 0.0

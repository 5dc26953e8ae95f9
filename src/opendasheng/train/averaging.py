"""Weights averaged along a run by a power of the step (Karras et al. 2024, arXiv 2312.02696, section 3.1).

The average of each parameter lies in the optimiser's state, so that it is saved, read, cut into parts and put together
as the moments are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

AVERAGE = "average"
"""Its key in the state of a parameter."""


def keep_average(optimizer: torch.optim.Optimizer, share: float) -> None:
    """After each step of ``optimizer``, take its parameters into their averages.

    Those of step s weigh s ** (1 / share - 2) in an average, so that they are ``share``, at most 0.5, of the steps so
    far old in the mean.
    """

    @torch.no_grad()
    def take_in(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for parameter, state in optimizer.state.items():
            if AVERAGE in state:
                state[AVERAGE].lerp_(parameter, 1 - (1 - 1 / float(state["step"])) ** (1 / share - 1))
            else:
                state[AVERAGE] = parameter.detach().clone()

    optimizer.register_step_post_hook(take_in)


@contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """While the body runs, parameters and their averages, where there are any, have each other's values."""
    _swap(optimizer)
    try:
        yield
    finally:
        _swap(optimizer)


@torch.no_grad()
def _swap(optimizer: torch.optim.Optimizer) -> None:
    for parameter, state in optimizer.state.items():
        if AVERAGE in state:
            kept = parameter.clone()
            parameter.copy_(state[AVERAGE])
            state[AVERAGE].copy_(kept)

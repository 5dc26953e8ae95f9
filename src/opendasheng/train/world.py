"""The processes of a run, as torchrun starts them: one, or several that each take a part of every step (law 7)."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from opendasheng.devices import pick_device
from opendasheng.errors import ConfigError

# Longer than the first process tests a finished model while the others wait.
_PATIENCE = timedelta(hours=6)
_MOST_PROCESSES = 2**20
_WAY_OUT = "torchrun sets them all; start it by that, or unset WORLD_SIZE"


@dataclass(frozen=True)
class World:
    """This process is ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def totals(self, values: Sequence[float]) -> list[float]:
        """The sums of ``values`` over all processes, float64."""
        numbers = torch.tensor(values, dtype=torch.float64)
        if self.size > 1:
            dist.all_reduce(numbers)
        found: list[float] = numbers.tolist()
        return found

    def add_gradients(self, model: nn.Module) -> None:
        """Make the gradients of every process the sum of all: one message for each type of number."""
        if self.size == 1:
            return
        by_type: dict[torch.dtype, list[torch.Tensor]] = {}
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:  # the others may have one
                    parameter.grad = torch.zeros_like(parameter)
                by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in by_type.values():
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(summed.view_as(gradient))

    def wait(self) -> None:
        """Until all processes are here."""
        self.totals([0.0])

    def device(self, name: str) -> torch.device:
        """The device of ``name``, see :func:`pick_device`; each process of a machine has a GPU of its own."""
        device = pick_device(name)
        if str(device) != "cuda" or self.size == 1:
            return device
        own = pick_device(f"cuda:{_number('LOCAL_RANK', 0, self.size - 1)}")
        torch.cuda.set_device(own)
        return own

    @contextmanager
    def first_then_others(self) -> Iterator[None]:
        """The first process goes through the body, then the others: what it writes there is there for them."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


@contextmanager
def world() -> Iterator[World]:
    """The processes that torchrun started, joined while the body runs; one alone without torchrun.

    Raises :class:`ConfigError` for an environment that torchrun does not make.
    """
    size = _number("WORLD_SIZE", 1, _MOST_PROCESSES) if "WORLD_SIZE" in os.environ else 1
    if size == 1:
        yield World()
        return
    _number("RANK", 0, size - 1)
    _number("MASTER_PORT", 0, 2**16 - 1)
    if not os.environ.get("MASTER_ADDR"):
        raise ConfigError(f"MASTER_ADDR is not set, and WORLD_SIZE is {size}; {_WAY_OUT}")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, rank, size = next(rendezvous("env://", timeout=_PATIENCE))
    if os.environ.get("LOCAL_WORLD_SIZE") == str(size):
        # torchrun keeps its store when it starts the processes of a machine again, and with it the addresses of those
        # that are gone. Agents of several machines count their restarts each for itself: there it needs
        # TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1.
        store = PrefixStore(f"start-{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def _number(name: str, least: int, most: int) -> int:
    """The whole number that the environment has under ``name``."""
    found = os.environ.get(name)
    if found is None:
        raise ConfigError(f"{name} is not set, and WORLD_SIZE is {os.environ.get('WORLD_SIZE')}; {_WAY_OUT}")
    # Digits as ASCII has them: int() takes others, and more of them than anybody counts.
    if not (found.isascii() and found.isdigit() and len(found) < 10 and least <= int(found) <= most):
        raise ConfigError(f"{name} is {found!r} and no number from {least} to {most}; {_WAY_OUT}")
    return int(found)

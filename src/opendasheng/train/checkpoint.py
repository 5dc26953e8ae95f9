"""Checkpoints of a run: what learns of the weights, and optimiser state, as safetensors, the step as JSON; never a
pickle. What is frozen lies in the model of step 0.

Each process writes the tensors, or the parts of tensors, that it holds, while training goes on; any number of processes
reads them again, each the parts that it needs (``torch.distributed.checkpoint``).
"""

import json
import shutil
import warnings
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from opendasheng.errors import TrainingError
from opendasheng.train.world import World

_PREFIX = "step-"
_STATE = "state.json"
_FAILURES = (OSError, SafetensorError, CheckpointException)

# One process alone is as it should be.
warnings.filterwarnings("ignore", "torch.distributed is disabled", module="torch.distributed.checkpoint")


@dataclass(frozen=True)
class _Writing:
    """A checkpoint on its way to the disk."""

    done: Future[Any]
    temporary: Path
    target: Path
    step: int


class Checkpoints:
    """Those of one run, in a folder that all its processes see. All of them call each method together."""

    def __init__(self, folder: Path, keep: int, world: World) -> None:
        """``keep`` is how many stay."""
        self.folder, self._keep, self._world = folder, keep, world
        # Of its own: what is being written must not come between the messages of a step.
        self._group = dist.new_group(backend="gloo") if world.size > 1 else None
        self._writing: _Writing | None = None
        self._newest = -1  # step of the last one, as all processes know it: the first alone sees when it appears

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Begin to write ``folder/step-N``, from a copy of what is there now.

        It appears whole or not at all, by :meth:`settle`. Raises what that raises, for the one before.
        """
        if step == self._newest:
            return
        self.settle()
        self._newest = step
        target = self.folder / f"{_PREFIX}{step:08d}"
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            with self._world.first_then_others():
                if self._world.is_first:
                    shutil.rmtree(temporary, ignore_errors=True)
                    temporary.mkdir(parents=True)
            done = async_save(
                _tensors(model, optimizer),
                storage_writer=HuggingFaceStorageWriter(str(temporary), save_distributed=True),
                process_group=self._group,
                no_dist=self._group is None,
            )
        except _FAILURES as error:
            raise self._cannot_be_written(target, error) from error
        assert isinstance(done, Future)
        self._writing = _Writing(done, temporary, target, step)

    def settle(self, *, wait: bool = True) -> None:
        """Put the checkpoint that is being written in its place, and drop all but the newest ones.

        Without ``wait`` only when all of it is on the disk. Raises :class:`TrainingError` where the disk takes no more;
        those before stay.
        """
        writing = self._writing
        if writing is None or not (wait or writing.done.done()):
            return
        self._writing = None
        try:
            writing.done.result()
            if self._world.is_first:
                state = {"step": writing.step, "files": _files(writing.temporary)}
                (writing.temporary / _STATE).write_text(json.dumps(state) + "\n")
                writing.temporary.rename(writing.target)
                for old in checkpoints(self.folder)[: -self._keep]:
                    shutil.rmtree(old)
        except _FAILURES as error:
            raise self._cannot_be_written(writing.target, error) from error

    def _cannot_be_written(self, target: Path, error: BaseException) -> TrainingError:
        if self._world.is_first:
            shutil.rmtree(target.with_name(f".{target.name}.tmp"), ignore_errors=True)
        last = next((f"the last one is {path}" for path in reversed(checkpoints(self.folder))), "there is none yet")
        return TrainingError(
            f"{target}: this checkpoint cannot be written ({_first_cause(error)}); {last}: make room, and the same "
            "command goes on"
        )

    def load_newest(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Put the newest checkpoint back in place and return its step; 0 when there is none.

        Raises :class:`TrainingError` when it does not fit, or is damaged.
        """
        found = checkpoints(self.folder)
        if not found:
            return 0
        self._newest = load_checkpoint(found[-1], model, optimizer, self._group)
        return self._newest


def load_checkpoint(
    checkpoint: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    group: dist.ProcessGroup | None = None,
) -> int:
    """Put a checkpoint back in place, that of the ``optimizer`` too where one is given, and return its step.

    ``group`` are the processes that read together; this one alone when None. Raises :class:`TrainingError`.
    """
    try:
        state = json.loads((checkpoint / _STATE).read_text())
        if state["files"] != _files(checkpoint):  # what lies in a missing one would stay as it is
            raise TrainingError(f"{checkpoint}: holds {_files(checkpoint)}, not {state['files']}")
        wanted = _tensors(model, optimizer and _with_state(optimizer))
        reader = HuggingFaceStorageReader(str(checkpoint))
        there = reader.read_metadata().state_dict_metadata
        if not _same(there.keys(), wanted.keys(), with_state=optimizer is not None):
            raise TrainingError(f"{checkpoint}: holds other tensors than this model; give the run another name")
        load(wanted, storage_reader=reader, process_group=group, no_dist=group is None)
    except (*_FAILURES, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{checkpoint}: cannot be resumed ({_first_cause(error)}); remove it to go on from the one before"
        ) from error
    return int(state["step"])


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())


def _files(checkpoint: Path) -> list[str]:
    return sorted(path.name for path in checkpoint.glob("*.safetensors"))


def _tensors(model: nn.Module, optimizer: torch.optim.Optimizer | None) -> dict[str, Any]:
    """Parameters that learn and stored buffers, each once (a tied head is the embedding again), and the state of the
    optimiser by the names of its parameters."""
    learns = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    kept = model.state_dict(keep_vars=True)
    stays = {name: tensor for name, tensor in model.named_buffers() if name in kept}
    found = {f"model.{name}": tensor.detach() for name, tensor in (learns | stays).items()}
    if optimizer is not None:
        for name, parameter in learns.items():
            for key, value in optimizer.state[parameter].items():
                found[f"optimizer.{name}.{key}"] = value
    return found


def _with_state(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimiser with a state to read into: that of a step that moved nothing."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    return optimizer


def _same(there: Iterable[str], wanted: Iterable[str], *, with_state: bool) -> bool:
    return {name for name in there if with_state or name.startswith("model.")} == set(wanted)


def _first_cause(error: BaseException) -> BaseException:
    """What went wrong in the first process that it went wrong in."""
    if isinstance(error, CheckpointException) and error.failures:
        return error.failures[min(error.failures)][0]
    return error

"""Checkpoints of a run: what learns of the weights, and optimiser state, as safetensors, the step as JSON; never a
pickle. What is frozen lies in the model of step 0.

Each process writes the tensors, or the parts of tensors, that it holds, while training goes on; any number of processes
reads them again, each the parts that it needs (``torch.distributed.checkpoint``).
"""

import json
import re
import shutil
import warnings
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from opendasheng.errors import TrainingError
from opendasheng.train import eight_bit
from opendasheng.train.averaging import AVERAGE
from opendasheng.train.optim import set_rate
from opendasheng.train.world import World

FOLDER = "checkpoints"
_PREFIX = "step-"
_NAME = re.compile(rf"{_PREFIX}[0-9]+")
_STATE = "state.json"
_MODEL, _OPTIMIZER, _SCALE = "model.", "optimizer.", "scale."
_FAILURES = (OSError, SafetensorError, CheckpointException)
_BLOCK_BYTES = 2**20

# One process alone is as it should be.
warnings.filterwarnings("ignore", "torch.distributed is disabled", module="torch.distributed.checkpoint")


@dataclass(frozen=True)
class _Writing:
    """A checkpoint on its way to the disk; ``done`` gives the first process what is to be told of its files."""

    done: Future[Any]
    temporary: Path
    target: Path
    step: int
    losses: tuple[float, ...]


class Checkpoints:
    """Those of one run, in a folder that all its processes see. All of them call each method together."""

    def __init__(self, folder: Path, keep: int, world: World) -> None:
        """``keep`` is how many stay."""
        self.folder, self._keep, self._world = folder, keep, world
        # Of its own: what is being written must not come between the messages of a step.
        self._group = dist.new_group(backend="gloo") if world.size > 1 else None
        self._writing: _Writing | None = None
        self._reader = ThreadPoolExecutor(1)  # of what was written, beside the steps
        self.losses: list[float] = []
        """Of the checkpoint that was loaded, what :meth:`save` was given with it."""
        self._newest = -1  # step of the last one, as all processes know it: the first alone sees when it appears

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, losses: Sequence[float] = ()) -> None:
        """Begin to write ``folder/step-N``, from a copy of what is there now and of the ``losses`` of steps before.

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
        if self._world.is_first:  # which hears when all have written
            done = self._reader.submit(_files_of, done, temporary)
        self._writing = _Writing(done, temporary, target, step, tuple(losses))

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
            files = writing.done.result()
            if self._world.is_first:
                state = {"step": writing.step, "files": files, "losses": writing.losses}
                (writing.temporary / _STATE).write_text(json.dumps(state) + "\n")
                writing.temporary.rename(writing.target)
                for old in checkpoints(self.folder)[: -self._keep]:
                    shutil.rmtree(old)
        except _FAILURES as error:
            raise self._cannot_be_written(writing.target, error) from error

    def _cannot_be_written(self, target: Path, error: BaseException) -> TrainingError:
        if self._world.is_first:
            shutil.rmtree(target.with_name(f".{target.name}.tmp"), ignore_errors=True)
        return _no_room(f"{target}: this checkpoint", error, self.folder)

    def load_newest(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Put the newest checkpoint back in place and return its step; 0 when there is none.

        Raises :class:`TrainingError` when it does not fit, or is damaged.
        """
        found = checkpoints(self.folder)
        if not found:
            return 0
        with self._world.first_then_others():
            if self._world.is_first:
                check_files(found[-1])
        state = load_checkpoint(found[-1], model, optimizer, self._group)
        self._newest, self.losses = int(state["step"]), list(state.get("losses", []))
        return self._newest


@contextmanager
def writing(path: Path, run: Path) -> Iterator[None]:
    """Raises :class:`TrainingError` where the disk does not take ``path``, which the body writes: it names the last
    checkpoint of the ``run``'s folder."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _FAILURES) and not (type(error) is Exception and "(os error " in str(error)):
            raise  # the tokenizers' own kind, for a full disk, is none
        raise _no_room(str(path), error, run / FOLDER) from error


def _no_room(what: str, error: BaseException, folder: Path) -> TrainingError:
    last = next((f"the last checkpoint is {path}" for path in reversed(checkpoints(folder))), "there is no checkpoint")
    return TrainingError(
        f"{what} cannot be written ({_first_cause(error)}); {last}: make room, and the same command goes on"
    )


def load_checkpoint(
    checkpoint: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    group: dist.ProcessGroup | None = None,
    *,
    averages: bool = False,
) -> dict[str, Any]:
    """Put a checkpoint back in place, that of the ``optimizer`` too where one is given, and return what is beside the
    tensors: ``step``, ``files`` and ``losses``.

    With ``averages`` what learns gets its average along the run (:mod:`opendasheng.train.averaging`). ``group`` are the
    processes that read together; this one alone when None. What the files hold is for :func:`check_files` to see.
    Raises :class:`TrainingError`.
    """
    with _resuming(checkpoint):
        state = _told_of(checkpoint)
        if optimizer is not None:
            _give_state(optimizer)
        wanted = _tensors(model, optimizer)
        reader = HuggingFaceStorageReader(str(checkpoint))
        there = reader.read_metadata().state_dict_metadata
        if not _same(there.keys(), wanted.keys(), with_state=optimizer is not None):
            raise TrainingError(f"{checkpoint}: holds other tensors than this model; give the run another name")
        wanted = {name: tensor for name, tensor in wanted.items() if name in there or not name.startswith(_SCALE)}
        if averages:
            learns = _learning(model)
            wanted = {_average_of(name, learns): tensor for name, tensor in wanted.items()}
        load(wanted, storage_reader=reader, process_group=group, no_dist=group is None)
        if optimizer is not None:
            _take_back(wanted, model, optimizer)
    return state


def check_files(checkpoint: Path) -> None:
    """Read all files of a checkpoint and compare them with what was written, as far as that is told: of one from
    before sizes and checksums were, the names.

    Raises :class:`TrainingError` where one is missing or damaged.
    """
    with _resuming(checkpoint):
        told = _told_of(checkpoint)["files"]
        if sorted(told) != _files(checkpoint):  # what lies in a missing one would stay as it is
            raise ValueError(f"it holds {_files(checkpoint)}, not {sorted(told)}")
        if isinstance(told, dict):
            for name, written in told.items():
                if (found := _sum_of(checkpoint / name)) != written:
                    raise ValueError(f"{name} is damaged: it has {found}, not {written}")


def _told_of(checkpoint: Path) -> dict[str, Any]:
    """What ``state.json`` says. It has no checksum of its own, so a step that is not that of the folder, and losses
    that are no numbers, raise ValueError: with another step a run would draw other batches."""
    told = json.loads((checkpoint / _STATE).read_text())
    if not isinstance(told, dict):
        raise ValueError(f"{_STATE} is damaged: it holds a {type(told).__name__}")
    if told["step"] != _step_of(checkpoint):
        raise ValueError(f"{_STATE} is damaged: step is {told['step']!r}, not {_step_of(checkpoint)}")
    losses = told.get("losses", [])
    if not isinstance(losses, list) or not all(isinstance(loss, float) for loss in losses):
        raise ValueError(f"{_STATE} is damaged: losses are {losses!r:.40}")
    return told


@contextmanager
def _resuming(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except (*_FAILURES, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{checkpoint}: cannot be resumed ({_first_cause(error)}); remove it to go on from the one before"
        ) from error


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    found = (path for path in folder.glob(f"{_PREFIX}*") if _NAME.fullmatch(path.name) and path.is_dir())
    return sorted(found, key=_step_of)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


def _files(checkpoint: Path) -> list[str]:
    return sorted(path.name for path in checkpoint.glob("*.safetensors"))


def _files_of(done: Future[Any], checkpoint: Path) -> dict[str, dict[str, int]]:
    """Size and checksum of each file of a checkpoint, once it is ``done``. Raises what that does."""
    done.result()
    return {name: _sum_of(checkpoint / name) for name in _files(checkpoint)}


def _sum_of(path: Path) -> dict[str, int]:
    """How many bytes a file has, and their CRC-32: enough to see what a disk has lost."""
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return {"bytes": size, "crc32": crc}


def _tensors(model: nn.Module, optimizer: torch.optim.Optimizer | None) -> dict[str, Any]:
    """Parameters that learn and stored buffers, each once (a tied head is the embedding again), and the state of the
    optimiser by the names of its parameters."""
    learns = _learning(model)
    kept = model.state_dict(keep_vars=True)
    stays = {name: tensor for name, tensor in model.named_buffers() if name in kept}
    found = {f"{_MODEL}{name}": tensor.detach() for name, tensor in (learns | stays).items()}
    if optimizer is not None:
        for name, value in _state(model, optimizer):
            if eight_bit.has_eight_bits(value):
                found[name], found[_scale_of(name)] = eight_bit.unpacked(value), eight_bit.scale(value)
            else:
                found[name] = value
    return found


def _take_back(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put into place what of the optimiser's state was read beside it."""
    for name, value in _state(model, optimizer):
        if eight_bit.has_eight_bits(value):
            eight_bit.pack(tensors[name], tensors.get(_scale_of(name)), value)


def _learning(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in _learning(model).items():
        for key, value in optimizer.state[parameter].items():
            yield f"{_OPTIMIZER}{name}.{key}", value


def _average_of(name: str, learns: Container[str]) -> str:
    """Under which name the average of a tensor of the model lies: its own where it does not learn."""
    plain = name.removeprefix(_MODEL)
    return f"{_OPTIMIZER}{plain}.{AVERAGE}" if plain in learns else name


def _scale_of(name: str) -> str:
    """The name of the scales of this process: they fit as many processes alone."""
    rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    return f"{_SCALE}{rank}-of-{size}.{name}"


def _give_state(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimiser a state to read into: that of a step that moves nothing."""
    rate = float(optimizer.param_groups[0]["lr"])
    set_rate(optimizer, 0.0)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    set_rate(optimizer, rate)


def _same(there: Iterable[str], wanted: Iterable[str], *, with_state: bool) -> bool:
    """Whether a checkpoint holds what is wanted, but for scales, which need not fit."""
    kinds = (_MODEL, _OPTIMIZER) if with_state else (_MODEL,)
    found, needed = ({name for name in names if name.startswith(kinds)} for names in (there, wanted))
    return found == needed


def _first_cause(error: BaseException) -> BaseException:
    """What went wrong in the first process that it went wrong in."""
    if isinstance(error, CheckpointException) and error.failures:
        return error.failures[min(error.failures)][0]
    return error

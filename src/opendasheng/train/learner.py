"""What a run trains: the model with its data, its loss and its files. The loop knows nothing else of a stage."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from opendasheng.card import NOT_PERMISSIVE
from opendasheng.data.batching import BatchPlan, Sized
from opendasheng.data.clip import Clip
from opendasheng.data.crops import Crop
from opendasheng.data.mixture import Draw
from opendasheng.data.shards import ShardReader
from opendasheng.train.checkpoint import writing
from opendasheng.train.products import Precision, multiply_in_bf32

Batch = dict[str, Tensor]
TellClip = Callable[[Clip, Exception], None]
"""Hears of a clip that cannot be read, and why."""
D = TypeVar("D", bound=Sized)


def as_row(draw: Draw, clips: Sequence[Clip]) -> dict[str, Any]:
    """A draw from ``clips`` for JSON: ids of its clip, those after it and the one beneath, and its other fields."""
    row = asdict(draw)
    example, background = row.pop("example"), row.pop("background")
    row["followers"] = [{"id": clips[clip].id, "pause_seconds": pause} for clip, pause in draw.followers]
    beneath = None if background is None else clips[background].id
    return {"id": clips[row.pop("index")].id, **example, "background": beneath, **row}


class Learner(ABC, Generic[D]):
    """The part of a run that belongs to its stage.

    ``plan`` gives the draws of every batch by step, ``collate`` makes them tensors; both are functions of their
    arguments alone, so that a resumed run and other processes see the same. ``clips`` are those drawn from.
    """

    model: nn.Module
    reader: ShardReader
    clips: Sequence[Clip]
    plan: BatchPlan[D]
    device = torch.device("cpu")
    precision: Precision = "fp32"
    sharded = False
    methods: tuple[str, ...] = ()
    """Of the model, what a loss calls beside ``forward``."""

    def units(self) -> Sequence[nn.Module]:
        """Parts of the model that every loss calls equally often, whatever its clips: they can be sharded apart."""
        return ()

    def place(self, device: torch.device, precision: Precision) -> None:
        """Move what computes to ``device``, and let it multiply matrices in ``precision``."""
        self.device, self.precision = device, precision
        self.model.to(device)
        if precision == "bf32":
            multiply_in_bf32(self.model)

    def placed(self, batch: Batch) -> Batch:
        """A batch where the model is."""
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}

    def computing(self) -> AbstractContextManager[object]:
        """Within it, sums have the precision of the run."""
        # The cache of weights in bf16 would keep all of them, gathered one unit after the other.
        in_bf16 = self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=in_bf16, cache_enabled=not self.sharded)

    def where(self, draw: Draw | Crop) -> str:
        """The clip of a draw, those after it and the one beneath it, if any, with their shards, in words."""
        if isinstance(draw, Crop):
            return self.reader.where(draw.index)
        under = "" if draw.background is None else f" over {self.reader.where(draw.background)}"
        return " and ".join(map(self.reader.where, draw.in_a_row())) + under

    def not_drawn(self) -> Mapping[str, Sequence[str]]:
        """What the run never hears though it is there: clips in words, by the reason."""
        found = {}
        if self.reader.left_out:
            found[NOT_PERMISSIVE] = [f"clip {clip.id}: {clip.licence}" for clip in self.reader.left_out]
        for reason, clips in self.plan.draws.not_drawn().items():
            found[reason] = [self.reader.where(index) for index in clips]
        return found

    def not_asked(self) -> Mapping[str, int]:
        """Tasks that the recipe leaves out, each with the number of clips that could be asked; nothing where none
        are asked."""
        return {}

    @abstractmethod
    def collate(self, draws: Sequence[D]) -> Batch:
        """The tensors of one batch."""

    @abstractmethod
    def num_items(self, batch: Batch) -> int:
        """What the loss is a mean over: answer tokens, or hidden patches."""

    @abstractmethod
    def loss(self, batch: Batch, num_items: int) -> Tensor:
        """The summed loss of a :meth:`placed` batch over ``num_items``, those of all batches of a step."""

    @abstractmethod
    def sizes(self, batch: Batch) -> tuple[int, int]:
        """Audio samples of a batch, and how many were computed with the padding."""

    def positions(self, batch: Batch) -> tuple[int, int]:
        """Positions of a decoder that a batch fills, and how many were computed with the padding; none of either
        without a decoder."""
        del batch
        return 0, 0

    @abstractmethod
    def describe(self, draw: D) -> dict[str, Any]:
        """A draw with all that its part of a batch is made from, for the record of one that went wrong."""

    @abstractmethod
    def validate(self, tell: TellClip) -> Mapping[str, object]:
        """How the model does on the dev split: ``dev_loss`` and more; nothing without one. At each call ``tell`` hears
        of the dev clips that cannot be read."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model, whole or not at all."""

    def keep_initial(self, initial: Path) -> None:
        """:meth:`save` the model of step 0. Raises :class:`TrainingError` where the disk does not take it."""
        with writing(initial, initial.parent):
            self.save(initial)

    def save_parts(self, folder: Path) -> None:
        """Write what is of use besides the whole model into the run's ``folder``; nothing unless a stage has such."""

    @abstractmethod
    def finish(self) -> dict[str, Any]:
        """What the record of a finished run says of the stage: test scores."""

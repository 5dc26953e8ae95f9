"""What the first step that learns computes, by as many processes as torchrun starts: gradients, and what each holds.

torchrun ... first_step.py OUTPUT CONFIG...     a config is the JSON of a RunConfig
"""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from opendasheng.recipe import from_dict
from opendasheng.train.config import RunConfig
from opendasheng.train.loader import Loaded
from opendasheng.train.loop import Run
from opendasheng.train.sharding import whole
from opendasheng.train.world import World, world

# Processes that do not all do the same wait for each other for hours; then they end.
_PATIENCE_SECONDS = 300


def first_step(config: RunConfig, processes: World, unreadable: int = 0) -> tuple[dict[str, Tensor], Run]:
    """Loss, gradients and moments of a run's first step, or the first after its last checkpoint, whole; and the run.

    A step of which nothing can be read is no first step; ``unreadable`` ones at the beginning are to be such.
    """
    run, found = Run(config, processes), {}
    run.step = run._checkpoints.load_newest(run.model, run.optimizer)
    update = run.optimizer.step

    def keep_gradients() -> None:
        found.update({name: whole(p.grad).clone() for name, p in run.model.named_parameters() if p.grad is not None})
        update()
        for name, parameter in run.model.named_parameters():
            for key, scale in (("exp_avg", torch.clone), ("exp_avg_sq", torch.sqrt)):
                moment = run.optimizer.state[parameter].get(key)
                if moment is not None and not run.config.optim.eight_bit:
                    found[f"{name}.{key}"] = scale(whole(moment))

    run.optimizer.step = keep_gradients
    numbers, write = [], run._record

    def record(values: dict) -> None:
        numbers.append(values)
        write(values)

    run._record = record
    take, readable = run._one_step, run._readable

    def until_one_learns(batches: Iterator[Loaded]) -> dict[str, float] | None:
        stats = take(batches)
        run.num_steps += stats is None
        return stats

    run._one_step = until_one_learns
    run._readable = lambda loaded: None if run.step < unreadable else readable(loaded)
    run.num_steps = run.step + 1
    run.train()
    found["loss"] = torch.tensor(numbers[0]["loss"])
    return found, run


def shares(run: Run) -> tuple[int, int]:
    """Numbers that this process holds of parameters with rows to share and of their moments, and how many there are."""
    held = total = 0
    for parameter in (p for p in run.model.parameters() if len(p) > 1):
        for tensor in (parameter, *(v for v in run.optimizer.state[parameter].values() if v.ndim)):
            held += tensor.to_local().numel() if hasattr(tensor, "to_local") else tensor.numel()
            total += tensor.numel()
    return held, total


def main(output: str, *configs: str) -> None:
    """Run each of ``configs`` and write its gradients to ``output/NAME.safetensors``, shares to ``NAME.RANK.json``."""
    signal.alarm(_PATIENCE_SECONDS)
    with world() as processes:
        for text in configs:
            config = from_dict(RunConfig, json.loads(text), "argument")
            found, run = first_step(config, processes)
            Path(output, f"{config.name}.{processes.rank}.json").write_text(json.dumps(shares(run)))
            if processes.is_first:
                save_file(found, Path(output, f"{config.name}.safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:])

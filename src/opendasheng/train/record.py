"""The record of a finished run: what it was made of and what it scores; the model card is written from it."""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch

from opendasheng import __version__
from opendasheng.data.clip import Clip
from opendasheng.data.mixture import Draw
from opendasheng.train.config import RunConfig
from opendasheng.train.four_bit import num_parameters
from opendasheng.train.learner import Learner

log = logging.getLogger(__name__)

FILE = "record.json"
LEFT_OUT = "left_out.jsonl"


def make_record(config: RunConfig, folder: Path, learner: Learner[Any], num_steps: int) -> dict[str, Any]:
    """What a card needs to know: sizes, data by source with licences, steps, time, losses, and test scores."""
    steps = _metrics(folder / "metrics.jsonl")
    logged = [line for line in steps if "loss" in line]
    # A line is the mean of the steps since the one before, or of those since a resumption among them.
    ends = [0, *(line["step"] for line in logged)]
    heard = [line["audio_seconds"] * (end - last) for line, (last, end) in zip(logged, pairwise(ends), strict=True)]
    spent = [seconds / line["audio_seconds_per_second"] for seconds, line in zip(heard, logged, strict=True)]
    left_out = _left_out(folder / LEFT_OUT)
    by_source, used = drawn(learner, num_steps * config.optim.accumulate, left_out)
    return {
        "name": config.name,
        "stage": config.stage,
        "opendasheng": __version__,
        "device": _name(learner.device),
        "num_parameters": num_parameters(learner.model),
        "steps": num_steps,
        "heard_hours": sum(heard) / 3600,
        "wall_hours": sum(spent) / 3600,
        "dev_losses": {line["step"]: line["dev_loss"] for line in steps if "dev_loss" in line},
        "drawn": by_source,
        "not_drawn": {reason: len(clips) for reason, clips in learner.not_drawn().items()},
        "not_asked": learner.not_asked(),
        "left_out": left_out,
        "sources": sources([learner.clips[index] for index in used]),
        **learner.finish(),
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {os.cpu_count()} cores"


def sources(clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Clips and hours of each source, by kind, with its licence; the largest first."""
    seconds, counts = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    for clip in clips:
        key = clip.source, clip.kind, clip.licence
        seconds[key] += clip.duration_seconds  # type: ignore[assignment]
        counts[key] += 1
    return [
        {"source": key[0], "kind": key[1], "licence": key[2], "num_clips": counts[key], "hours": value / 3600}
        for key, value in sorted(seconds.items(), key=lambda item: -item[1])
    ]


def drawn(
    learner: Learner[Any], num_batches: int, left_out: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[dict[str, Any]], list[int]]:
    """What the first batches of a run held: draws and hours of each source, its share of the hours, and how often it
    was beneath others; and the clips that were heard, each once, alone or beneath others.

    Less the draws of ``left_out``: of a clip that could not be read all, else those of the task that was at fault.
    """
    lost = {(row["id"], row.get("task")) for row in left_out if row.get("split", "train") == "train"}
    counts, seconds, beneath = Counter[str](), Counter[str](), Counter[str]()
    heard: set[int] = set()
    for _, draws in islice(learner.plan.from_step(0), num_batches):
        for draw in draws:
            under = draw.background if isinstance(draw, Draw) else None
            task = draw.example.task if isinstance(draw, Draw) else None
            clip = learner.clips[draw.index]
            all_heard = draw.heard() if isinstance(draw, Draw) else (draw.index,)
            if (clip.id, task) in lost or any((learner.clips[index].id, None) in lost for index in all_heard):
                continue
            heard.update(all_heard)
            if under is not None:
                beneath[learner.clips[under].source] += 1
            counts[clip.source] += 1
            seconds[clip.source] += draw.duration_seconds
    total = sum(seconds.values()) or 1.0
    rows = [
        {
            "source": source,
            "draws": counts[source],
            "beneath": beneath[source],
            "hours": seconds[source] / 3600,
            "share": seconds[source] / total,
        }
        for source in sorted(seconds | beneath, key=lambda source: (-seconds[source], source))
    ]
    return rows, sorted(heard)


def _left_out(path: Path) -> list[dict[str, Any]]:
    """What could not be read, each clip once, or what could not be asked of it."""
    return list({(line["id"], line.get("task")): line for line in _lines(path, "id")}.values())


def _metrics(path: Path) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl``, of a step that was done twice (before and after a kill) the last."""
    by_step: dict[tuple[int, bool], dict[str, Any]] = {}
    for values in _lines(path, "step"):
        by_step[values["step"], "loss" in values] = values
    return [by_step[key] for key in sorted(by_step)]


def _lines(path: Path, key: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines that have ``key``. A line that a disk has damaged is told and passed over: it
    is of the record alone, and no reason to lose a run that has learnt all its steps."""
    if not path.is_file():
        return
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            values = json.loads(line)
            values[key]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            log.warning("%s: line %d is damaged, so the record is without it", path, number)
        else:
            yield values

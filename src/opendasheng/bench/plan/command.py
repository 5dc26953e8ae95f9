"""The topic ``plan`` of ``opendasheng bench``: its options, and the plans that they ask for."""

import argparse
from importlib import import_module
from itertools import product
from typing import Any

from opendasheng.bench.plan.assumptions import CLIPS, PLANNED, Machine, Way
from opendasheng.bench.plan.tables import GIB, name_of
from opendasheng.errors import ConfigError
from opendasheng.options import above_0, at_least
from opendasheng.progress import say

# Shapes load torch, so they are imported when plans are made.


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``plan`` to ``parser``."""
    usual = Machine()
    group = parser.add_argument_group("plan", "what a stage of training needs, reckoned from shapes")
    group.add_argument("--model", default="7b", metavar="NAME", help="7b, mini, a model folder or a config.json (7b)")
    group.add_argument("--stage", nargs="+", choices=PLANNED, default=list(PLANNED), help="(all three)")
    group.add_argument("--gpus", nargs="+", type=at_least(1), default=[8, 80], metavar="N", help="(8 and 80)")
    group.add_argument(
        "--clips", type=at_least(1), metavar="N", help="of a GPU and batch (32 align, 10 pretrain, 8 sft)"
    )
    group.add_argument("--clip-seconds", type=above_0, default=10.0, metavar="S", help="length of each clip (10)")
    group.add_argument(
        "--prompt-tokens", type=at_least(0), default=30, metavar="N", help="text before each answer (30)"
    )
    group.add_argument(
        "--answer-tokens", type=at_least(1), default=30, metavar="N", help="text to learn of a clip (30)"
    )
    group.add_argument("--accumulate", type=at_least(1), default=1, metavar="N", help="batches of a GPU in a step (1)")
    group.add_argument("--checkpointing", choices=["on", "off", "both"], default="both", help="of activations (both)")
    group.add_argument(
        "--layout", nargs="+", choices=["sharded", "hybrid", "whole"], default=["sharded"], help="(sharded)"
    )
    group.add_argument("--precision", choices=["bf16", "autocast", "fp32"], default="bf16", help="of products (bf16)")
    group.add_argument("--optimizer", choices=["fp32", "8bit"], default="fp32", help="its state (fp32)")
    group.add_argument("--mfu", type=_share, default=usual.share, metavar="X", help="assumed share of the peak (0.4)")
    group.add_argument(
        "--peak-tflops",
        type=above_0,
        default=usual.peak_tflops,
        metavar="X",
        help="of a GPU, 16 bit, dense (989: H100)",
    )
    group.add_argument(
        "--bandwidth", type=above_0, metavar="GB/S", help="that a GPU sends (assumed 300 in a machine, 40 between)"
    )
    group.add_argument("--memory-gib", type=above_0, default=usual.memory_gib, metavar="X", help="of a GPU (78)")
    group.add_argument(
        "--trace", action="store_true", help="also run each plan on tensors without data, and tell its peak (a minute)"
    )
    group.add_argument("--measure", action="store_true", help="take real steps of the model on this CPU and compare")


def plans(args: argparse.Namespace) -> dict[str, Any]:
    """The plans that are asked for, by name. Raises :class:`ConfigError` for a model or batch that cannot be."""
    from opendasheng.bench.plan import planning, shapes
    from opendasheng.bench.plan.activations import Batch
    from opendasheng.lengths import num_audio_tokens

    tracing = _with_training("tracing", "--trace") if args.trace else None
    config = shapes.named_config(args.model)
    shape = shapes.shape_of(config)
    checkpointing = {"on": [True], "off": [False], "both": [False, True]}[args.checkpointing]
    found = {}
    for stage, again in product(args.stage, checkpointing):
        clips = args.clips or CLIPS[stage]
        batch = Batch(clips, args.clip_seconds, args.prompt_tokens, args.answer_tokens)
        if not num_audio_tokens(batch.samples):
            raise ConfigError(f"--clip-seconds is {args.clip_seconds:g}: a clip is 0.19 s or longer")
        learns = shapes.learning(shape, stage)
        if args.measure:
            name, entry = _measured(config, learns, batch, again)
            found[f"{args.model} {name}"] = entry
            continue
        for gpus, layout in product(args.gpus, args.layout):
            way = Way(layout, again, args.precision, args.optimizer, args.accumulate)
            machine = Machine(
                gpus=gpus,
                memory_gib=args.memory_gib,
                peak_tflops=args.peak_tflops,
                share=args.mfu,
                gigabytes_a_second=args.bandwidth or 0.0,
            )
            entry = planning.plan(shape, learns, batch, way, machine)
            if tracing is not None and way.spread_over(gpus) > 1:
                say(f"tracing {name_of(args.model, entry)}")
                peak = tracing.traced_peak(config, learns, batch, way, way.spread_over(gpus))
                entry["traced_peak"] = peak + entry["bytes"]["optimizer"]
            found[name_of(args.model, entry)] = entry
    return found


def _measured(config: Any, learns: Any, batch: Any, again: bool) -> tuple[str, Any]:
    """A plan for this CPU, with what a real step says."""
    from dataclasses import asdict, replace

    from opendasheng.bench.plan import planning, shapes
    from opendasheng.bench.report import machine as this_machine

    measure = _with_training("measure", "--measure")
    here = Machine(gpus=1, memory_gib=float(this_machine()["memory_gib"] or 8), reserve_gib=2.0)
    way = Way("whole", checkpointing=again, precision="fp32")
    batch = replace(batch, on_gpu=False)
    entry = planning.plan(shapes.shape_of(config), learns, batch, way, here)
    if not entry["fits"]:
        raise ConfigError(
            f"a step would take {entry['bytes']['peak'] / GIB:.1f} GiB of the {here.memory_gib:.0f} here: "
            "--measure is for small models, such as --model mini"
        )
    name = f"{learns.stage}, {'blocks again' if again else 'all kept'}, {batch.clips} x {batch.clip_seconds:g} s"
    say(f"taking steps: {name}")
    found = measure.Step(config, learns, batch, checkpointing=again).measured()
    return name, entry | {"measured": asdict(found)}


def _with_training(module: str, option: str) -> Any:
    """A module that takes steps; raises :class:`ConfigError` where what training needs is not installed."""
    try:
        return import_module(f"opendasheng.bench.plan.{module}")
    except ModuleNotFoundError as error:
        raise ConfigError(f"{option} needs the extra: pip install 'opendasheng[train]'") from error


def _share(text: str) -> float:
    value = above_0(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: it is above 0 and at most 1")
    return value

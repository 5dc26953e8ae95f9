"""A plan: what a stage of training needs on each GPU and for how long, as one entry of results."""

import math
from dataclasses import asdict
from typing import Any

from opendasheng.bench.plan.activations import Batch
from opendasheng.bench.plan.assumptions import HOURS, Machine, Way
from opendasheng.bench.plan.memory import memory, traffic
from opendasheng.bench.plan.shapes import Learning, ModelShape
from opendasheng.bench.plan.tables import GIB
from opendasheng.bench.plan.work import batch_macs

Json = dict[str, Any]


def plan(shape: ModelShape, learns: Learning, batch: Batch, way: Way, machine: Machine) -> Json:
    """One way of training a model by a stage. Bytes and MACs are of one GPU, MACs and seconds of one step.

    Time is multiplications at a share of the peak; weights are gathered beside them, so the longer of the two counts,
    and sums of gradients over machines, or of whole models, come after them.
    """
    held, work = (
        memory(shape, learns, batch, way, machine.gpus),
        batch_macs(shape, learns, batch, checkpointing=way.checkpointing),
    )
    sent = traffic(shape, learns, way, machine.gpus)
    computing = 2 * way.accumulate * work.total / (1e12 * machine.peak_tflops * machine.share)
    meanwhile, afterwards = sent.seconds(machine)
    seconds = max(computing, meanwhile) + afterwards
    steps = math.ceil(3600 * HOURS[learns.stage] / (batch.audio_seconds * machine.gpus * way.accumulate))
    position = (held.kept.decoder + held.kept.logits) / batch.positions
    heard = held.kept.encoder + held.kept.projector + batch.audio_tokens * position
    return {
        "stage": learns.stage,
        "machine": asdict(machine),
        "way": asdict(way),
        "batch": {**asdict(batch), "positions": batch.positions},
        "parameters": learns.parameters(shape),
        "learning": learns.learning(shape),
        "bytes": {**asdict(held), "kept": {**asdict(held.kept), "total": held.kept.total}},
        "bytes_a_text_token": round(position),
        "bytes_an_audio_second": round(heard / batch.audio_seconds),
        "fits": held.peak + machine.reserve_gib * GIB <= machine.memory_gib * GIB,
        "macs": {**asdict(work), "total": work.total},
        "sent_bytes": sent.meanwhile + sent.afterwards,
        "seconds": {
            "computing": _rounded(computing),
            "sending": _rounded(meanwhile + afterwards),
            "step": _rounded(seconds),
        },
        "steps": steps,
        "days": _rounded(steps * seconds / 86_400),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")

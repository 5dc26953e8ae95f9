"""Bytes and MACs from shapes are what autograd saves and torch counts in real steps."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from opendasheng.bench.plan.activations import PRECISIONS, Batch, kept
from opendasheng.bench.plan.assumptions import PLANNED
from opendasheng.bench.plan.measure import Step, kept_bytes
from opendasheng.bench.plan.shapes import learning, named_config, shape_of
from opendasheng.bench.plan.work import batch_macs

# Within 0.1 %, with checkpointing 2 %: rotary angles, which all layers share, are held but no longer saved. Under
# autocast adapters keep a few copies more.
EXACTLY, NEARLY, AUTOCAST = 1e-3, 0.02, 0.03

BATCHES = {
    "rows of unequal length": Batch(2, 4.0, 10, 8, masked=True, on_gpu=False),
    "rows of equal length": Batch(3, 4.03, 10, 8, masked=False, on_gpu=False),  # its last patch is hidden
    "three chunks under a mask": Batch(2, 30.0, 10, 8, masked=True, on_gpu=False),
    "two chunks of their own": Batch(1, 13.0, 10, 8, masked=True, on_gpu=False),
}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("stage", PLANNED)
@pytest.mark.parametrize("name", BATCHES)
def test_a_tiny_step(tiny_config: Any, name: str, stage: str, checkpointing: bool) -> None:
    batch, kind = BATCHES[name], "qwen3" if name.endswith("mask") else "qwen2"
    config = tiny_config(kind)
    shape = shape_of(config)
    learns = learning(shape, stage)
    step = Step(config, learns, batch, checkpointing=checkpointing)
    reckoned = kept(shape, learns, batch, PRECISIONS["fp32"], checkpointing=checkpointing)
    assert reckoned.total == pytest.approx(kept_bytes(step.model, step.loss), rel=NEARLY if checkpointing else EXACTLY)
    assert batch_macs(shape, learns, batch, checkpointing=checkpointing).total == step.macs()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = kept_bytes(step.model, step.loss)
    reckoned = kept(shape, learns, batch, PRECISIONS["autocast"], checkpointing=checkpointing)
    assert reckoned.total == pytest.approx(rounded, rel=AUTOCAST)
    step.model.to(torch.bfloat16)
    reckoned = kept(shape, learns, batch, PRECISIONS["bf16"], checkpointing=checkpointing)
    assert reckoned.total == pytest.approx(kept_bytes(step.model, step.loss), rel=NEARLY)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("stage", PLANNED)
def test_the_bundled_model(stage: str, checkpointing: bool) -> None:
    config, batch = named_config("mini"), Batch(2, 5.0, on_gpu=False)
    shape = shape_of(config)
    learns = learning(shape, stage)
    step = Step(config, learns, batch, checkpointing=checkpointing)
    reckoned = kept(shape, learns, batch, PRECISIONS["fp32"], checkpointing=checkpointing)
    assert reckoned.total == pytest.approx(kept_bytes(step.model, step.loss), rel=NEARLY if checkpointing else EXACTLY)
    assert batch_macs(shape, learns, batch, checkpointing=checkpointing).total == step.macs()


def test_a_frozen_decoder_saves_work_and_memory() -> None:
    shape, batch = shape_of(named_config("7b")), Batch(8)
    full, frozen = (learning(shape, stage) for stage in ("align", "pretrain"))
    most, least = (kept(shape, each, batch, PRECISIONS["bf16"], checkpointing=False) for each in (full, frozen))
    assert least.decoder < most.decoder
    assert least.encoder == most.encoder
    works = [batch_macs(shape, each, batch, checkpointing=False) for each in (full, frozen)]
    assert works[0].backward == 2 * works[0].forward
    assert works[1].backward < 1.3 * works[1].forward


def test_dropout_is_a_byte_on_a_gpu() -> None:
    shape, batch = shape_of(named_config("7b")), Batch(8)
    learns, numbers = learning(shape, "sft"), PRECISIONS["bf16"]
    here, there = (
        kept(shape, learns, replace(batch, on_gpu=on_gpu), numbers, checkpointing=False) for on_gpu in (False, True)
    )
    inputs = sum(linear.inputs for linear in shape.linears())
    assert here.decoder - there.decoder == shape.decoder.depth * batch.positions * inputs

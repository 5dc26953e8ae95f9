"""Bytes on each GPU and bytes that it sends, by hand and against the real fully_shard on tensors without data."""

from typing import Any

import pytest

from opendasheng.bench.plan.activations import Batch
from opendasheng.bench.plan.assumptions import PLANNED, Machine, Way
from opendasheng.bench.plan.measure import Step
from opendasheng.bench.plan.memory import memory, traffic
from opendasheng.bench.plan.planning import plan
from opendasheng.bench.plan.shapes import learning, named_config, shape_of
from opendasheng.bench.plan.tracing import traced_peak

RELEASED = shape_of(named_config("7b"))
P = 8_281_739_904


def test_a_whole_7b_does_not_fit_where_a_part_does() -> None:
    learns, batch = learning(RELEASED, "align"), Batch(32)
    whole = memory(RELEASED, learns, batch, Way("whole"), 8)
    assert (whole.weights, whole.gradients, whole.optimizer) == (4 * P, 4 * P, 8 * P)
    part = memory(RELEASED, learns, batch, Way("sharded"), 8)
    assert (part.weights, part.gradients, part.optimizer) == (P // 2, P // 2, P)
    assert memory(RELEASED, learns, batch, Way("hybrid"), 80) == part
    assert whole.peak > 16 * P > 80 * 2**30 > part.peak
    eight = memory(RELEASED, learns, batch, Way("sharded", optimizer="8bit"), 8)
    assert part.optimizer / eight.optimizer == pytest.approx(3.94, abs=0.01)


def test_what_is_sent() -> None:
    learns = learning(RELEASED, "align")
    rest = 2 * RELEASED.embedding_parameters()
    sent = traffic(RELEASED, learns, Way("sharded"), 8)
    # Two gathers in 16 bits, of what lies outside the blocks one, and gradients of 32 bits.
    assert sent.meanwhile == pytest.approx(7 / 8 * (2 * 2 * P - 2 * rest + 4 * P), rel=0.01)
    assert (sent.meanwhile_within, sent.afterwards) == (True, 0)
    far = traffic(RELEASED, learns, Way("sharded", accumulate=2), 80)
    assert far.meanwhile / sent.meanwhile == pytest.approx(2 * (79 / 80) / (7 / 8))
    assert not far.meanwhile_within
    near = traffic(RELEASED, learns, Way("hybrid", accumulate=2), 80)
    assert (near.meanwhile, near.meanwhile_within) == (2 * sent.meanwhile, True)
    assert near.afterwards == pytest.approx(2 * 4 * P / 8 * 9 / 10)
    assert traffic(RELEASED, learns, Way("whole"), 8).afterwards == pytest.approx(2 * 7 / 8 * 4 * P)
    alone = traffic(RELEASED, learns, Way("whole"), 1)
    assert alone.meanwhile == alone.afterwards == 0


def test_time_is_work_at_a_share_of_the_peak() -> None:
    learns, batch = learning(RELEASED, "align"), Batch(32)
    fast, slow = (plan(RELEASED, learns, batch, Way(), Machine(share=share)) for share in (0.4, 0.2))
    assert slow["seconds"]["computing"] == pytest.approx(2 * fast["seconds"]["computing"], rel=1e-3)
    macs = 2 * fast["macs"]["total"] / 989e12 / 0.4
    assert fast["seconds"]["computing"] == pytest.approx(macs, rel=1e-3)
    assert fast["steps"] == -(-114_000 * 3600 // (320 * 8))
    assert fast["days"] == pytest.approx(fast["steps"] * fast["seconds"]["step"] / 86_400, rel=2e-3)
    assert not plan(RELEASED, learns, batch, Way("whole"), Machine())["fits"]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("stage", ["align", "sft"])
def test_the_peak_of_a_real_step(stage: str, checkpointing: bool) -> None:
    config, batch = named_config("mini"), Batch(2, 5.0, on_gpu=False)
    shape = shape_of(config)
    learns = learning(shape, stage)
    way = Way("whole", checkpointing=checkpointing, precision="fp32")
    found = Step(config, learns, batch, checkpointing=checkpointing).measured(1)
    assert memory(shape, learns, batch, way, 1).peak == pytest.approx(found.peak, rel=0.08)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("stage", PLANNED)
def test_the_peak_under_fully_shard(tiny_config: Any, stage: str, checkpointing: bool) -> None:
    config = tiny_config(
        vocab_size=3200, hidden_size=512, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=8
    )
    shape, batch = shape_of(config), Batch(8, on_gpu=False)
    learns, way = learning(shape, stage), Way(checkpointing=checkpointing)
    reckoned = memory(shape, learns, batch, way, 4)
    traced = traced_peak(config, learns, batch, way, 4)
    assert 0.97 * traced < reckoned.peak - reckoned.optimizer < 1.15 * traced

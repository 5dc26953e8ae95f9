"""Moments in 8 bits take a quarter of the memory, learn as those of float32 do, and come back to the bit."""

import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from opendasheng.errors import ConfigError
from opendasheng.train.checkpoint import Checkpoints
from opendasheng.train.config import OptimConfig
from opendasheng.train.eight_bit import has_eight_bits, pack, scale, unpacked
from opendasheng.train.loop import Run
from opendasheng.train.optim import build_optimizer, set_rate
from opendasheng.train.world import World


def _learn(eight_bit: bool, steps: int = 40, seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer, float]:
    """A linear map found from examples; its model, optimiser and last loss."""
    random = torch.Generator().manual_seed(5)
    wanted = torch.randn(64, 128, generator=random)
    torch.manual_seed(seed)
    model = nn.Linear(128, 64)
    optimizer = build_optimizer(model, OptimConfig(eight_bit=eight_bit, weight_decay=0.0))
    set_rate(optimizer, 0.05)
    for _ in range(steps):
        x = torch.randn(32, 128, generator=random)
        loss = (model(x) - x @ wanted.T).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, optimizer, loss.item()


def test_it_learns_as_the_whole_one_does():
    first, eight, full = _learn(True, steps=1)[2], _learn(True)[2], _learn(False)[2]
    assert eight == pytest.approx(full, rel=0.05)
    assert eight < 0.3 * first


def test_it_takes_a_quarter():
    model, optimizer, _ = _learn(True, steps=1)
    moment = optimizer.state[model.weight]["exp_avg"]
    assert has_eight_bits(moment)
    assert moment.codes.nbytes + moment.scale.nbytes < 0.27 * model.weight.nbytes
    assert not has_eight_bits(optimizer.state[model.bias]["exp_avg"])


def test_a_moment_comes_back_to_the_bit_with_its_scales():
    model, optimizer, _ = _learn(True)
    other, its_optimizer, _ = _learn(True, steps=3, seed=1)
    for key in ("exp_avg", "exp_avg_sq"):
        moment, place = optimizer.state[model.weight][key], its_optimizer.state[other.weight][key]
        pack(unpacked(moment), scale(moment), place)
        assert torch.equal(place.codes, moment.codes)
        assert torch.equal(place.scale, moment.scale)
        pack(unpacked(moment), None, place)  # rounded anew: by one code at most, of 2 % of its size
        assert torch.allclose(unpacked(place), unpacked(moment), rtol=0.05, atol=0.02 * float(scale(moment).max()))


def test_a_checkpoint_brings_all_of_it_back(tmp_path):
    model, optimizer, _ = _learn(True)
    kept = Checkpoints(tmp_path, 1, World())
    kept.save(40, model, optimizer)
    kept.settle()
    other, its_optimizer, _ = _learn(True, steps=3, seed=1)
    assert kept.load_newest(other, its_optimizer) == 40
    assert torch.equal(other.weight, model.weight)
    assert float(its_optimizer.param_groups[0]["lr"]) == pytest.approx(0.05)
    for key, value in optimizer.state[model.weight].items():
        again = its_optimizer.state[other.weight][key]
        assert torch.equal(again.codes, value.codes) if has_eight_bits(value) else torch.equal(again, value)


def test_a_run_that_was_cut_short_ends_in_the_same_bits(tiny_run, cut_short):
    def config(name):
        tiny = tiny_run(name)
        return replace(tiny, optim=replace(tiny.optim, eight_bit=True), model=replace(tiny.model, vocab_size=512))

    whole = Run(config("whole"))
    whole.train()
    assert any(has_eight_bits(state["exp_avg"]) for state in whole.optimizer.state.values())
    cut_short(Run(config("cut")))
    again = Run(config("cut"))
    again.train()
    a, b = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, again))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_without_torchao_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    with pytest.raises(ConfigError, match=r"optim\.eight_bit needs the extra"):
        build_optimizer(nn.Linear(2, 2), OptimConfig(eight_bit=True))

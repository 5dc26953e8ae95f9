"""The average of weights is the sum that it stands for, and what a run with one validates, saves and resumes."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from run_metrics import lines
from safetensors.torch import load_file
from torch import nn

from opendasheng.train.averaging import AVERAGE, averaged, keep_average
from opendasheng.train.checkpoint import checkpoints
from opendasheng.train.loop import Run


def _walk(num_steps: int, share: float) -> tuple[nn.Parameter, torch.optim.Optimizer, torch.Tensor]:
    """A weight that random gradients move, its optimiser, and its values after each step."""
    torch.manual_seed(num_steps)
    weight = nn.Parameter(torch.randn(3, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    keep_average(optimizer, share)
    values = []
    for _ in range(num_steps):
        weight.grad = torch.randn_like(weight)
        optimizer.step()
        values.append(weight.detach().clone())
    return weight, optimizer, torch.stack(values)


@given(st.integers(1, 60), st.floats(0.01, 0.5))
def test_it_is_the_sum_by_a_power_of_the_step(num_steps, share):
    weight, optimizer, values = _walk(num_steps, share)
    powers = (torch.arange(num_steps + 1, dtype=torch.float64) / num_steps) ** (1 / share - 1)
    expected = (powers.diff()[:, None] * values).sum(0)
    assert torch.allclose(optimizer.state[weight][AVERAGE], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_it_is_as_old_as_it_is_said_to_be(share):
    num_steps = 2000
    ages = torch.arange(num_steps, dtype=torch.float64).flip(0)
    powers = (torch.arange(num_steps + 1, dtype=torch.float64) / num_steps) ** (1 / share - 1)
    assert float((powers.diff() * ages).sum()) / num_steps == pytest.approx(share, abs=1e-3)


def test_weights_and_average_change_places_and_back_even_after_an_error():
    weight, optimizer, values = _walk(9, 0.2)
    average = optimizer.state[weight][AVERAGE].clone()

    def fail():
        with averaged(optimizer):
            assert torch.equal(weight, average)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(weight, values[-1])
    assert torch.equal(optimizer.state[weight][AVERAGE], average)
    assert not torch.equal(average, values[-1])


@pytest.fixture
def averaging(tiny_run):
    """A function that makes the config of a tiny run with an average."""

    def make(name: str = "run", share: float = 0.3):
        config = tiny_run(name)
        return replace(config, optim=replace(config.optim, average_share=share))

    return make


def _model(run):
    return load_file(run.folder / "model" / "model.safetensors")


def test_the_average_is_validated_and_saved_and_steps_go_on_from_the_weights(averaging):
    run, plain = Run(averaging()), Run(averaging("plain", 0.0))
    run.train()
    plain.train()
    for (name, weight), other in zip(run.optimizer.state.items(), plain.optimizer.state.values(), strict=True):
        assert torch.equal(weight["exp_avg"], other["exp_avg"]), name.shape
    saved, last = _model(run), _model(plain)
    [file] = checkpoints(run.folder / "checkpoints")[-1].glob("*.safetensors")
    kept = load_file(file)
    averages = {name: kept[f"optimizer.{name}.{AVERAGE}"] for name, _ in run.model.named_parameters()}
    assert len(averages) > 10
    assert all(torch.equal(saved[name], average) for name, average in averages.items() if name in saved)
    assert any(not torch.equal(saved[name], last[name]) for name in saved)
    told = [line["dev_loss"] for line in lines(run) if "dev_loss" in line][-1]
    assert run.learner.validate(pytest.fail)["dev_loss"] == told  # the run is over, and its model is what was saved
    assert plain.learner.validate(pytest.fail)["dev_loss"] != told


def test_a_run_that_was_cut_short_ends_in_the_same_bits(averaging, cut_short):
    whole = Run(averaging("whole"))
    whole.train()
    cut_short(Run(averaging("cut")))
    again = Run(averaging("cut"))
    again.train()
    a, b = _model(whole), _model(again)
    assert all(torch.equal(a[name], b[name]) for name in a)

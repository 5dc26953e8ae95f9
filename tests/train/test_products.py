"""What a CPU multiplies in bfloat16: linear layers alone, their sums and gradients; and where that is refused."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from opendasheng.errors import ConfigError
from opendasheng.train import products
from opendasheng.train.loop import Run

UNITS = pytest.mark.skipif(not products._has_units(), reason="no bfloat16 units in this CPU")


def _run(config, **compute):
    return Run(replace(config, compute=replace(config.compute, device="cpu", **compute)))


def _losses(run):
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return torch.tensor([line["loss"] for line in lines if "loss" in line])


@pytest.mark.parametrize("shape", [(48,), (7, 48), (2, 7, 48)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_and_its_gradients_are_those_of_a_linear_layer(shape, bias):
    torch.manual_seed(0)
    exact, rounded = nn.Linear(48, 32, bias=bias), nn.Linear(48, 32, bias=bias)
    rounded.load_state_dict(exact.state_dict())
    assert products.multiply_in_bf32(nn.Sequential(rounded, nn.GELU())) == 1
    found = []
    for layer in (exact, rounded):
        torch.manual_seed(1)
        x = torch.randn(shape, requires_grad=True)
        y = layer(x)
        y.square().sum().backward()
        found.append([y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())])
    for wanted, got in zip(*found, strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, wanted, rtol=0, atol=0.02 * float(wanted.abs().max()))


def test_no_rows_make_no_gradient():
    layer, x = nn.Linear(8, 4), torch.ones(0, 8, requires_grad=True)
    products.multiply_in_bf32(layer)
    layer(x).sum().backward()
    assert layer.weight.grad.abs().sum() == 0
    assert x.grad.shape == (0, 8)


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_what_is_frozen_gets_no_gradient(frozen):
    layer = nn.Linear(8, 4)
    getattr(layer, frozen).requires_grad_(False)
    products.multiply_in_bf32(layer)
    layer(torch.ones(3, 8)).sum().backward()
    assert {name for name, parameter in layer.named_parameters() if parameter.grad is None} == {frozen}


@UNITS
def test_products_are_rounded_while_learning_and_not_in_answers():
    torch.manual_seed(0)
    layer, x = nn.Linear(384, 384), torch.randn(256, 384)
    exact = nn.functional.linear(x, layer.weight, layer.bias).detach()
    products.multiply_in_bf32(layer)
    assert not torch.equal(layer(x), exact)
    with torch.inference_mode():
        assert torch.equal(layer(x), exact)
    assert torch.equal(nn.functional.linear(x, layer.weight, layer.bias), exact)  # nothing stays switched on


@UNITS
def test_blocks_that_compute_again_round_again(tiny_run):
    kept = _run(tiny_run("kept"), precision="bf32")
    again = _run(tiny_run("again"), precision="bf32", activation_checkpointing=True)
    kept.train()
    again.train()
    assert torch.equal(_losses(kept), _losses(again))


def test_a_cpu_without_units_is_told_what_to_take(tiny_run, monkeypatch):
    monkeypatch.setattr(products, "_has_units", lambda: False)
    config = tiny_run()
    with pytest.raises(ConfigError, match=r"precision is bf32.*take fp32"):
        _run(config, precision="bf32")
    assert not config.folder.exists()


def test_other_devices_do_not_take_bf32():
    with pytest.raises(ConfigError, match=r"bf32.*cuda:0"):
        products.precision_on(torch.device("cuda:0"), "bf32")


@pytest.mark.parametrize(("device", "precision"), [("cpu", "fp32"), ("cuda:1", "bf16")])
def test_auto_follows_the_device(device, precision):
    assert products.precision_on(torch.device(device), "auto") == precision

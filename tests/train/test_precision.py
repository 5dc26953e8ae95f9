"""Where a run computes and in what: bf16 keeps float32 weights, and a GPU says what a CPU says."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from opendasheng.errors import ConfigError
from opendasheng.train.loop import Run
from opendasheng.train.products import _has_units

UNITS = pytest.mark.skipif(not _has_units(), reason="no bfloat16 units in this CPU")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def _on(config, **compute):
    return replace(config, compute=replace(config.compute, **compute))


def _losses(run):
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return torch.tensor([line["loss"] for line in lines if "loss" in line])


@pytest.mark.parametrize("precision", ["bf16", pytest.param("bf32", marks=UNITS)])
def test_rounded_products_learn_as_float32_does_and_weights_stay_float32(tiny_run, precision):
    exact, rounded = Run(_on(tiny_run("fp32"), precision="fp32")), Run(_on(tiny_run("rounded"), precision=precision))
    exact.train()
    folder = rounded.train()
    if precision == "bf16":  # CPUs with AVX-512 alone round none as small in bf32; test_products.py has larger ones
        assert not torch.equal(_losses(exact), _losses(rounded))
    torch.testing.assert_close(_losses(rounded), _losses(exact), rtol=0.02, atol=0)
    assert {
        tensor.dtype for tensor in load_file(folder / "model.safetensors").values() if tensor.is_floating_point()
    } == {torch.float32}


def test_on_a_cpu_the_default_is_float32(tiny_run):
    run = Run(_on(tiny_run(), device="cpu"))
    assert run.learner.precision == "fp32"
    assert run.learner.device == torch.device("cpu")


def test_a_device_that_is_not_here_is_named(tiny_run):
    config = _on(tiny_run(), device="cuda:99")
    with pytest.raises(ConfigError, match="cuda:99"):
        Run(config)
    assert not config.folder.exists()  # so that the name is free for another try


@GPU
@pytest.mark.parametrize("stage", ["align", "mae", "sft"])
def test_a_gpu_says_what_a_cpu_says(tiny_run, stage):
    runs = []
    for device in ("cpu", "cuda"):
        run = Run(_on(replace(tiny_run(f"{stage}-{device}"), stage=stage), device=device, precision="fp32"))
        run.train()
        runs.append(run)
    # The first step: later ones have drawn other dropout, where there is any.
    torch.testing.assert_close(_losses(runs[0])[:1], _losses(runs[1])[:1], rtol=1e-4, atol=0)
    torch.testing.assert_close(_losses(runs[0]), _losses(runs[1]), rtol=0.02, atol=0)


@GPU
def test_on_a_gpu_a_run_resumes_and_takes_bf16(tiny_run, cut_short):
    cut_short(Run(tiny_run("gpu")))
    run = Run(tiny_run("gpu"))
    assert run.learner.precision == "bf16"
    assert run.train() is not None
    assert {parameter.device.type for parameter in run.model.parameters()} == {"cuda"}

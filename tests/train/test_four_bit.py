"""QLoRA: what is frozen lies in 4 bits, adapters learn on it, and what is saved is whole again."""

import copy
import sys
from dataclasses import replace

import pytest
import torch
from helpers import tiny_model
from safetensors.torch import load_file

from opendasheng.errors import ConfigError
from opendasheng.model import MiDashengLMModel
from opendasheng.train.config import LoraConfig
from opendasheng.train.four_bit import num_parameters, plain_state, quantise
from opendasheng.train.loop import Run


@pytest.fixture
def model():
    return tiny_model()


def packed_bytes(model):
    return sum(p.numel() for p in model.parameters() if p.dtype == torch.uint8)


def test_linear_layers_of_blocks_alone_are_packed(model):
    whole = copy.deepcopy(model)
    count, weights = quantise(model, ()), num_parameters(whole)
    blocks = (*whole.audio_encoder.blocks, *whole.decoder.model.layers)
    linear = [m for block in blocks for m in block.modules() if type(m) is torch.nn.Linear]
    assert count == len(linear)
    assert packed_bytes(model) == sum(m.weight.numel() for m in linear) / 2
    assert num_parameters(model) == weights


def test_a_part_that_learns_stays_whole(model):
    before = {name: tensor.clone() for name, tensor in model.audio_encoder.state_dict().items()}
    quantise(model, ("audio_encoder",))
    after = model.audio_encoder.state_dict()
    assert before.keys() == after.keys()
    assert packed_bytes(model)


def test_its_plain_state_computes_what_it_does(model):
    whole = copy.deepcopy(model)
    quantise(model, ())
    state = plain_state(model)
    assert state.keys() == whole.state_dict().keys()
    assert any(not torch.equal(tensor, state[name]) for name, tensor in whole.state_dict().items())
    whole.load_state_dict(state)
    audio = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = (m.eval()(input_ids=torch.arange(1, 9)[None]).logits for m in (model, whole))
        heard = [torch.cat(m.embed_audio(audio)) for m in (model, whole)]
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.allclose(*heard, atol=1e-5)


def test_a_run_leaves_a_whole_model_and_adapters(tiny_run):
    base = Run(tiny_run("base")).train()
    config = tiny_run("small", steps=12)
    config = replace(config, stage="finetune", model=replace(config.model, init=str(base)))
    config = replace(config, lora=LoraConfig(rank=4, dropout=0.0, four_bit=True))
    run = Run(config)
    assert packed_bytes(run.model)
    folder = run.train()
    merged, first = (load_file(place / "model.safetensors") for place in (folder, base))
    assert {name: tensor.shape for name, tensor in merged.items()} == {name: t.shape for name, t in first.items()}
    assert (run.folder / "adapter" / "adapter_model.safetensors").is_file()
    with torch.inference_mode():
        ours = run.model.eval()(input_ids=torch.arange(1, 9)[None]).logits
        theirs = MiDashengLMModel.from_pretrained(folder).eval()(input_ids=torch.arange(1, 9)[None]).logits
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_what_cannot_be_is_said(tiny_run, monkeypatch):
    with pytest.raises(ConfigError, match=r"lora\.four_bit needs adapters"):
        Run(replace(tiny_run(), lora=LoraConfig(four_bit=True)))
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn.modules", None)
    with pytest.raises(ConfigError, match=r"lora\.four_bit needs the extra"):
        quantise(tiny_model(), ())

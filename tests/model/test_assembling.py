"""A model of two parts has their weights to the bit, hears, and is saved and read like any other."""

import json

import pytest
import torch
from helpers import tiny_folder
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from opendasheng.errors import CheckpointError
from opendasheng.model import DashengConfig, DashengEncoder, MiDashengLMModel
from opendasheng.model.assembling import assemble, load_encoder


@pytest.fixture
def parts():
    torch.manual_seed(1)
    encoder = DashengEncoder(DashengConfig(embed_dim=16, depth=1, num_heads=2))
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return encoder.eval(), LlamaForCausalLM(LlamaConfig(vocab_size=40, **sizes)).eval()


def inputs():
    ids_BP = torch.tensor([[1, 2, 39, 39, 39, 39, 39, 3]])
    return {"input_ids": ids_BP, "input_values": torch.randn(1, 16_000), "audio_length": torch.tensor([16_000])}


def test_the_parts_stay_as_they_are_and_the_whole_hears(parts, tmp_path):
    encoder, decoder = parts
    before = {name: value.clone() for part in parts for name, value in part.state_dict().items()}
    text = torch.tensor([[1, 2, 3]])
    expected = decoder(input_ids=text).logits
    model = assemble(encoder, decoder, audio_token_id=39).eval()
    for part in (model.audio_encoder, model.decoder):
        for name, value in part.state_dict().items():
            assert torch.equal(value, before[name]), name
    assert not any(value.is_meta for value in (*model.parameters(), *model.buffers()))
    assert torch.equal(model(input_ids=text).logits, expected)
    batch = inputs()
    heard = model(**batch).logits
    louder = model(**{**batch, "input_values": 3 * batch["input_values"]}).logits
    assert not torch.allclose(heard, louder)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["text_config"]["model_type"] == "llama"
    again = MiDashengLMModel.from_pretrained(tmp_path).eval()
    assert torch.equal(again(**batch).logits, heard)


def test_the_projector_is_a_function_of_the_seed(parts):
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(assemble(*parts, audio_token_id=39).audio_projector.net[0].weight.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert found[0].std() == pytest.approx(0.02, rel=0.2)


def test_an_encoder_comes_out_of_a_whole_model_as_it_went_in(tmp_path):
    folder = tiny_folder(tmp_path / "whole")
    expected = MiDashengLMModel.from_pretrained(folder).audio_encoder
    found = load_encoder(folder)
    assert not found.training
    sizes = ("embed_dim", "depth", "num_heads")
    assert [getattr(found.config, size) for size in sizes] == [getattr(expected.config, size) for size in sizes]
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value.float()), name


def test_an_encoder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_encoder(tmp_path / "missing.safetensors")
    empty = tmp_path / "empty"
    empty.mkdir()
    damaged, cut, none = (tiny_folder(tmp_path / name) for name in ("damaged", "cut", "none"))
    (damaged / "model.safetensors").write_bytes(b"\0" * 64)
    tensors = load_file(cut / "model.safetensors")
    del tensors["audio_encoder.norm.weight"]
    save_file(tensors, cut / "model.safetensors", metadata={"format": "pt"})
    (none / "model.safetensors").unlink()
    wanted = (
        (empty, "no config.json"),
        (damaged, "no encoder can be read"),
        (cut, r"Missing key.*norm\.weight"),
        (none, "safetensors"),
    )
    for folder, words in wanted:
        with pytest.raises(CheckpointError, match=words) as caught:
            load_encoder(folder)
        assert str(caught.value).startswith(str(folder))
        assert "\n" not in str(caught.value)

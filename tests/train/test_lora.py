"""Adapters go where they are told, learn alone, and come out again: as peft reads them, and merged."""

import copy
import json
import re

import pytest
import torch
from helpers import tiny_model
from peft import PeftModel
from safetensors.torch import load_file

from opendasheng.errors import ConfigError
from opendasheng.train.config import LoraConfig, ModelConfig, RunConfig
from opendasheng.train.lora import (
    add_adapters,
    freeze,
    has_adapters,
    matches,
    merged_state,
    save_adapter,
)

ATTENTION = ("decoder.*.q_proj", "decoder.*.v_proj")


@pytest.fixture
def model():
    return tiny_model()


def disturb(model):
    """Adapters that change something: their second matrix begins as zeros."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2, generator=generator)


def logits(model):
    with torch.inference_mode():
        return model(input_ids=torch.arange(1, 9)[None]).logits


def test_a_target_that_matches_nothing_is_an_error_with_what_there_is(model):
    with pytest.raises(
        ConfigError, match=r"target 'decoder\.\*\.qproj' matches no linear layer; there are decoder.*q_proj"
    ):
        add_adapters(model, LoraConfig(targets=("decoder.*.qproj",)))
    assert not has_adapters(model)


def test_counts_are_of_layers(model, caplog):
    caplog.set_level("INFO")
    layers = model.config.text_config.num_hidden_layers
    assert add_adapters(model, LoraConfig(targets=ATTENTION)) == dict.fromkeys(ATTENTION, layers)
    assert f"lora: {layers} layers match decoder.*.q_proj" in caplog.text


def test_all_linear_layers_of_all_parts_can_be_named(model):
    found = matches(model, ("audio_encoder.blocks.*", "audio_projector.*", "decoder.model.*"))
    assert all(found.values())
    named = {name for names in found.values() for name in names}
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert linear - named == {"decoder.lm_head"}


def test_a_head_tied_to_the_embedding_gets_no_adapter(model):
    assert "decoder.lm_head" in matches(model, ("*",))["*"]
    model.decoder.lm_head.weight = model.decoder.get_input_embeddings().weight
    assert "decoder.lm_head" not in matches(model, ("*",))["*"]
    with pytest.raises(ConfigError, match=r"'decoder\.lm_head' matches no linear layer"):
        matches(model, ("decoder.lm_head",))


def test_only_adapters_learn_and_at_first_change_nothing(model):
    before = logits(model)
    add_adapters(model, LoraConfig(targets=ATTENTION))
    assert torch.equal(logits(model), before)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable
    assert all("lora_" in name for name in trainable)


def test_merged_weights_say_what_the_adapters_say_and_have_the_names_of_the_model(model):
    names = set(model.state_dict())
    plain = copy.deepcopy(model)
    add_adapters(model, LoraConfig(targets=ATTENTION))
    disturb(model)
    said = logits(model)
    state = merged_state(model)
    assert set(state) == names
    plain.load_state_dict(state)
    # One product rounds otherwise than two, by an amount that the matrix kernels of a machine decide.
    assert (logits(plain) - said).abs().max() < 1e-5 * said.abs().max()
    again = merged_state(model)  # the model was left as it was: the same bits each time
    assert all(torch.equal(state[name], again[name]) for name in names)
    assert torch.equal(logits(model), said)


def test_a_saved_adapter_loads_in_peft(model, tmp_path):
    base = copy.deepcopy(model)
    config = LoraConfig(rank=4, alpha=8, targets=ATTENTION)
    add_adapters(model, config)
    disturb(model)
    save_adapter(model, config, tmp_path / "adapter", "some/base")
    there = PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "adapter").eval()
    assert torch.equal(logits(there), logits(model))
    merged = there.merge_and_unload()
    ours = merged_state(model)
    assert all(torch.equal(tensor, ours[name]) for name, tensor in merged.state_dict().items())
    assert (
        json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "some/base"
    )
    assert all(
        key.startswith("base_model.model.") for key in load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    )


@pytest.mark.parametrize(
    ("trains", "targets"),
    [(("audio_encoder", "audio_projector"), ("audio_encoder.*", *ATTENTION)), (("decoder",), ("audio_encoder.*",))],
)
def test_parts_that_learnt_in_full_go_with_the_adapters(model, tmp_path, trains, targets):
    base = copy.deepcopy(model)
    config = LoraConfig(rank=4, alpha=8, targets=targets)
    add_adapters(model, config)
    freeze(model, trains)
    disturb(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "lora_" not in name:
                parameter += 0.01
    save_adapter(model, config, tmp_path / "adapter", "some/base", trains)
    ours = merged_state(model)
    there = PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "adapter").merge_and_unload().state_dict()
    assert there.keys() == ours.keys()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in there.items())


def test_adapters_in_parts_that_learn_in_full_alone_leave_no_folder(model, tmp_path, caplog):
    caplog.set_level("INFO")
    config = LoraConfig(targets=ATTENTION)
    add_adapters(model, config)
    save_adapter(model, config, tmp_path / "adapter", "some/base", ("decoder",))
    assert not (tmp_path / "adapter").exists()
    assert "all adapters are in parts that learn in full (decoder)" in caplog.text


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"rank": 0}, "lora.rank is 0; it is 1 or more"),
        ({"alpha": 0}, "lora.alpha is 0; it is 1 or more"),
        ({"dropout": 1.0}, "lora.dropout is 1.0; it is from 0 to below 1"),
    ],
)
def test_values_without_meaning_are_refused(values, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        LoraConfig(**values)


def test_parts_that_learn_in_full_get_no_adapters_of_the_stage():
    config = RunConfig("x", stage="finetune", model=ModelConfig(init="mini", trains=("audio_encoder",)))
    assert {target.partition(".")[0] for target in config.adapters.targets} == {"audio_projector", "decoder"}

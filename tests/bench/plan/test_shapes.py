"""Parameters counted from shapes are those of the model, built without memory."""

import json
from typing import Any

import pytest
import torch

from opendasheng.bench.plan.assumptions import PLANNED
from opendasheng.bench.plan.measure import prepared
from opendasheng.bench.plan.memory import Units
from opendasheng.bench.plan.shapes import learning, named_config, shape_of
from opendasheng.errors import ConfigError
from opendasheng.model import MiDashengLMConfig, MiDashengLMModel


@pytest.mark.parametrize("stage", PLANNED)
@pytest.mark.parametrize("name", ["7b", "mini", "qwen2", "qwen3"])
def test_parameters_are_those_of_the_model(tiny_config: Any, name: str, stage: str) -> None:
    config = tiny_config(name) if name.startswith("qwen") else named_config(name)
    shape = shape_of(config)
    learns = learning(shape, stage)
    with torch.device("meta"):
        model = MiDashengLMModel(config)
        parts = {
            part: sum(p.numel() for p in getattr(model, part).parameters()) for part in ("audio_encoder", "decoder")
        }
        assert (shape.encoder_parameters(), shape.decoder_parameters()) == tuple(parts.values())
        assert shape.parameters() == sum(p.numel() for p in model.parameters())
        prepared(model, stage, checkpointing=False)
    assert learns.parameters(shape) == sum(p.numel() for p in model.parameters())
    assert learns.learning(shape) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    units = Units.of(shape, learns)
    block, layer = model.audio_encoder.blocks[0], model.decoder.model.layers[0]
    whole = {name: sum(p.numel() for p in module.parameters()) for name, module in (("b", block), ("l", layer))}
    assert (units.block, units.layer) == (whole["b"], whole["l"])
    assert units.layer_learning == sum(p.numel() for p in layer.parameters() if p.requires_grad)
    outside = [p for name, p in model.named_parameters() if ".blocks." not in name and ".layers." not in name]
    assert units.rest == sum(p.numel() for p in outside)
    assert units.rest_learning == sum(p.numel() for p in outside if p.requires_grad)


def test_the_released_size() -> None:
    shape = shape_of(named_config("7b"))
    assert shape.parameters() == 8_281_739_904  # SPEC 5.1
    assert [linear.name for linear in learning(shape, "pretrain").adapted] == ["self_attn.q_proj", "self_attn.v_proj"]
    assert learning(shape, "sft").adapted == shape.linears()
    assert learning(shape, "align").adapted == ()


def test_a_folder_and_a_file_are_read(tiny_config: Any, tmp_path: Any) -> None:
    config = tiny_config("qwen3")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    for name in (tmp_path, tmp_path / "config.json"):
        assert shape_of(named_config(str(name))) == shape_of(config)


def test_what_cannot_be_planned_is_told(tiny_config: Any, tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"elsewhere.*config\.json"):
        named_config("elsewhere")
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    with pytest.raises(ConfigError, match="no text_config"):
        named_config(str(tmp_path))
    with pytest.raises(ConfigError, match=r"'llama'.*qwen2 and qwen3"):
        shape_of(MiDashengLMConfig({}, {"model_type": "llama"}))
    with pytest.raises(ConfigError, match=r"init_values 1e-05.*null"):
        shape_of(MiDashengLMConfig({"init_values": 1e-5}, {}))
    with pytest.raises(ConfigError, match=r"'mae'.*align"):
        learning(shape_of(tiny_config()), "mae")

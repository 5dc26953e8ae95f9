"""Checkpoints in the released layout: loaded by name, checked tensor by tensor, and written back bit-equal."""

import json
import subprocess
import sys

import pytest
import reference
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from opendasheng.errors import CheckpointError
from opendasheng.model import MiDashengLMConfig, MiDashengLMModel, load_dasheng_encoder


def write(folder, tensors, decoder="q25", shards=1, **config):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(reference.config(decoder) | config))
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    names = sorted(tensors)
    index = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder


@pytest.fixture(params=["q25", "q3"])
def decoder(request):
    return request.param


def test_save_is_the_inverse_of_load(tmp_path, decoder):
    tensors = reference.weights(decoder)
    model = AutoModelForCausalLM.from_pretrained(write(tmp_path / "in", tensors, decoder))
    assert type(model) is MiDashengLMModel
    assert type(AutoConfig.from_pretrained(tmp_path / "in")) is MiDashengLMConfig
    model.save_pretrained(tmp_path / "out")
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert written.keys() == tensors.keys()
    assert all(torch.equal(written[name], tensors[name]) for name in tensors)
    again = MiDashengLMModel.from_pretrained(tmp_path / "out")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_remote_code_named_by_a_folder_is_not_run(tmp_path):
    auto_map = {"AutoConfig": "remote.Config", "AutoModelForCausalLM": "remote.Model"}
    folder = write(tmp_path / "model", reference.weights(), auto_map=auto_map)
    (folder / "remote.py").write_text("raise AssertionError('remote code was run')")
    assert type(AutoModelForCausalLM.from_pretrained(folder)) is MiDashengLMModel


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16])
def test_files_of_any_dtype_come_in_the_dtype_asked_for(tmp_path, decoder, stored, wanted):
    tensors = {k: v.to(stored) if v.is_floating_point() else v for k, v in reference.weights(decoder).items()}
    model = MiDashengLMModel.from_pretrained(write(tmp_path / "model", tensors, decoder), dtype=wanted)
    assert {p.dtype for p in model.parameters()} == {wanted}
    for name, tensor in tensors.items():
        assert torch.equal(model.state_dict()[name], tensor.to(wanted) if tensor.is_floating_point() else tensor)


def test_rotary_buffers_are_float32_whatever_the_dtype(tmp_path):
    """Buffers that no file holds must be computed, in float32: not left as meta leaves them, nor rounded."""
    plain = MiDashengLMModel(MiDashengLMConfig.from_dict(reference.config()))
    folder = write(tmp_path / "model", reference.weights())
    for dtype in (torch.float32, torch.bfloat16):
        loaded = MiDashengLMModel.from_pretrained(folder, dtype=dtype)
        expected, found = (m.decoder.model.rotary_emb.inv_freq for m in (plain, loaded))
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


def test_shards_and_optional_tensors(tmp_path):
    tensors = reference.weights()
    front_end = {
        "audio_encoder.front_end.0.spectrogram.window": torch.zeros(512),
        "audio_encoder.front_end.0.mel_scale.fb": torch.zeros(257, 64),
    }
    without_counter = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    assert len(without_counter) == len(tensors) - 1
    folder = write(tmp_path / "model", without_counter | front_end, shards=3)
    model = MiDashengLMModel.from_pretrained(folder)
    assert model.audio_encoder.init_bn.num_batches_tracked == 0
    assert all(torch.equal(model.state_dict()[name], without_counter[name]) for name in without_counter)


def test_a_stored_copy_of_a_tied_head_is_accepted(tmp_path):
    tensors = reference.weights("q3")
    head = {"decoder.lm_head.weight": tensors["decoder.model.embed_tokens.weight"].clone()}
    model = MiDashengLMModel.from_pretrained(write(tmp_path / "model", tensors | head, "q3"))
    assert model.decoder.lm_head.weight is model.decoder.model.embed_tokens.weight


NAME = "audio_projector.net.0.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(NAME), f"missing {NAME}"),
        (
            lambda t: t.update({"audio_encoder.cls_token": torch.zeros(1)}),
            "unexpected audio_encoder.cls_token",
        ),
        (lambda t: t.update({NAME: torch.zeros(64, 300)}), rf"{NAME} has shape \[64, 300\].*\[64, 320\]"),
        (lambda t: t.pop("decoder.lm_head.weight"), "missing decoder.lm_head.weight"),
    ],
)
@pytest.mark.parametrize("load", [MiDashengLMModel.from_pretrained, AutoModelForCausalLM.from_pretrained])
def test_a_tensor_that_does_not_fit_is_named(tmp_path, change, message, load):
    tensors = dict(reference.weights())
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        load(write(tmp_path / "model", tensors))


def test_pickles_are_refused_with_the_way_out(tmp_path):
    folder = write(tmp_path / "model", reference.weights())
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no \*\.safetensors"):
        MiDashengLMModel.from_pretrained(folder)
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin.*export --from-pickle"):
        MiDashengLMModel.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_dasheng_encoder(folder / "pytorch_model.bin")


def test_damaged_files_are_named(tmp_path):
    folder = write(tmp_path / "model", reference.weights())
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="damaged"):
        MiDashengLMModel.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        MiDashengLMModel.from_pretrained(folder)


_MEASURE = """
import sys, torch
import opendasheng.model
from transformers.models.qwen2 import modeling_qwen2
def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) * 1024
import threading, time
before, peak, done = anonymous(), 0, threading.Event()
def watch():
    global peak
    while not done.is_set():
        peak = max(peak, anonymous())
        time.sleep(0.002)
thread = threading.Thread(target=watch)
thread.start()
model = opendasheng.model.MiDashengLMModel.from_pretrained(sys.argv[1], dtype=torch.float32)
done.set(); thread.join()
peak = max(peak, anonymous())
weights = sum(p.numel() * p.element_size() for p in model.parameters())
print((peak - before) / weights, weights)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_loading_takes_little_more_memory_than_the_weights(tmp_path, stored):
    """Anonymous memory above what the imports take, at its peak, on a checkpoint of 1 GB in float32."""
    config = reference.config("q3")
    config["text_config"] |= {
        "vocab_size": 32_000,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 14,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    }
    with torch.device("meta"):
        shapes = {n: p.shape for n, p in MiDashengLMModel(MiDashengLMConfig.from_dict(config)).state_dict().items()}
    tensors = {name: torch.zeros(shape, dtype=stored) for name, shape in shapes.items() if "lm_head" not in name}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(config))
    del tensors
    printed = subprocess.run([sys.executable, "-c", _MEASURE, tmp_path], capture_output=True, text=True, check=True)
    ratio, weights = map(float, printed.stdout.split())
    assert weights > 0.9e9
    assert ratio <= 1.15

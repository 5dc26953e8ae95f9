"""A pretrained decoder keeps what it knows, gets the markers it lacks, and learns to listen by adapters."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import tiny_folder
from safetensors.torch import save_file
from tiny_decoders import TOKENS, a_decoder, a_gguf
from transformers import AutoConfig, AutoModelForCausalLM

import opendasheng
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.model import MiDashengLMModel
from opendasheng.model.conversation import default_chat_template
from opendasheng.train.config import LoraConfig
from opendasheng.train.decoder import load_decoder, require_causal
from opendasheng.train.loop import Run
from opendasheng.train.tokenizer import SPECIAL_TOKENS


@pytest.mark.parametrize("own_markers", [(), ("<|im_start|>", "<|im_end|>")])
def test_markers_are_added_and_nothing_else_changes(tmp_path, own_markers):
    before = a_decoder(tmp_path, own_markers=own_markers)
    known = before.config.vocab_size
    decoder, processor = load_decoder(str(tmp_path))
    added = len(SPECIAL_TOKENS) - len(own_markers)
    assert decoder.config.vocab_size == len(processor.tokenizer) == known + added
    assert processor.tokenizer.eos_token == "<|im_end|>"
    assert decoder.config.eos_token_id == processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    for marker in SPECIAL_TOKENS:
        assert len(processor.tokenizer(marker)["input_ids"]) == 1
    ids = torch.tensor([[1, 2, 3, 4]])
    torch.testing.assert_close(decoder.eval()(input_ids=ids).logits[..., :known], before(input_ids=ids).logits)
    for name, value in decoder.state_dict().items():
        expected = before.state_dict()[name]
        assert torch.equal(value[: len(expected)], expected), name
    new = decoder.get_input_embeddings().weight[known:]
    assert new.abs().max() < 4 * before.get_input_embeddings().weight.std()
    assert processor.chat_template == default_chat_template()


def test_it_learns_by_adapters_beside_a_given_encoder_and_is_exported(tiny_run, tmp_path, capsys):
    from opendasheng.cli import main

    before = a_decoder(tmp_path / "decoder")
    whole = tiny_folder(tmp_path / "whole")
    encoder = MiDashengLMModel.from_pretrained(whole).audio_encoder
    config = tiny_run("joined")
    config = replace(
        config,
        stage="pretrain",
        model=replace(config.model, encoder=str(whole), decoder=str(tmp_path / "decoder")),
        lora=LoraConfig(targets=("decoder.*.q_proj", "decoder.*.v_proj")),
    )
    run = Run(config)
    folder = run.train().parent
    start = MiDashengLMModel.from_pretrained(folder / "initial")
    for name, value in encoder.state_dict().items():
        assert torch.equal(start.audio_encoder.state_dict()[name], value.float()), name
    end = MiDashengLMModel.from_pretrained(folder / "model")
    changed = set()
    for name, value in before.state_dict().items():
        after = end.decoder.state_dict()[name][: len(value)]
        if not torch.equal(after, value):
            changed.add(name.rpartition(".self_attn.")[2])
    assert changed == {"q_proj.weight", "v_proj.weight"}
    assert not torch.equal(end.audio_projector.net[0].weight, start.audio_projector.net[0].weight)
    assert main(["export", "--run", str(folder), "--output", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| pretrain | joined | {whole.name} (encoder), decoder (decoder) |" in card
    assert "the decoder decoder" in card.split("This card grants no licence")[1]  # its terms are not known here
    audio = np.sin(np.arange(16_000) / 20).astype(np.float32)
    text = opendasheng.load(tmp_path / "out").generate(audio, prompt="What?", max_new_tokens=3).text
    assert isinstance(text, str)
    capsys.readouterr()


def test_a_decoder_needs_an_encoder(tiny_run, tmp_path):
    a_decoder(tmp_path / "decoder")
    config = tiny_run()
    config = replace(config, model=replace(config.model, decoder=str(tmp_path / "decoder")))
    with pytest.raises(ConfigError, match=r"needs model\.encoder"):
        Run(config)


def test_a_gguf_file_is_unpacked_and_saved_as_plain_weights(tmp_path):
    before = a_decoder(tmp_path / "plain")
    a_gguf(tmp_path / "tiny.gguf", before)
    decoder, processor = load_decoder(str(tmp_path / "tiny.gguf"))
    ids = torch.tensor([[1, 2, 3, 4]])
    known = before.config.vocab_size
    torch.testing.assert_close(
        decoder.eval()(input_ids=ids).logits[..., :known], before(input_ids=ids).logits, atol=1e-5, rtol=1e-5
    )
    assert processor.tokenizer("abb")["input_ids"] == [TOKENS.index("ab"), TOKENS.index("b")]
    decoder.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").is_file()


def test_a_gguf_file_without_its_package_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConfigError, match=r"opendasheng\[gguf\]"):
        load_decoder(str(tmp_path / "x.gguf"))


def test_what_is_no_decoder_is_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENDASHENG_OFFLINE", "1")
    pickled, damaged, dumb = tmp_path / "pickled", tmp_path / "damaged", tmp_path / "dumb"
    for folder in (pickled, damaged, dumb):
        a_decoder(folder)
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    save_file({"x": torch.zeros(1)}, damaged / "model.safetensors")
    (damaged / "model.safetensors").write_bytes(b"\0" * 50)
    for file in dumb.glob("token*"):
        file.unlink()
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + b"\0" * 20)
    (tmp_path / "file.txt").write_text("x")
    names = [str(tmp_path / name) for name in ("pickled", "damaged", "dumb", "cut.gguf", "no.gguf", "file.txt", "none")]
    for name in [*names, "no-such-owner/no-such-model"]:
        with pytest.raises(CheckpointError) as caught:
            load_decoder(name)
        assert str(caught.value).startswith(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["mixtral", "qwen2"])
def test_a_decoder_that_sees_what_is_written_alone_is_taken(kind):
    for seed in range(4):
        torch.manual_seed(seed)
        config = AutoConfig.for_model(kind, vocab_size=64, hidden_size=64, num_hidden_layers=2, intermediate_size=96)
        require_causal(AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_decoder_that_sees_what_it_is_to_write_is_refused(tiny_run, kind):
    config = tiny_run(kind)
    config = replace(config, model=replace(config.model, decoder_type=kind))
    with pytest.raises(ConfigError, match=f"'{kind}' sees what it is to write"):
        Run(config)
    assert not (config.folder / "config.json").exists()

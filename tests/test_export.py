"""Pickles become safetensors that load, bit for bit; what wants to run code does not."""

import json
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import glap_reference
import numpy as np
import pytest
import torch
from helpers import tiny_folder
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

import opendasheng
from opendasheng.cli import main
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.export import export_pickle
from opendasheng.model import DashengConfig, DashengEncoder, LogMel, load_dasheng_encoder
from opendasheng.model.audio_text_files import glap_of

GOLDEN = Path(__file__).parent / "golden"


def original_names(encoder: DashengEncoder) -> dict[str, Tensor]:
    """The state dict of an encoder as the original trainer names it, front-end included (SPEC 5.1)."""
    state = {name.replace("init_bn.", "init_bn.1."): tensor for name, tensor in encoder.state_dict().items()}
    return {"front_end.0.mel_scale.fb": torch.zeros(257, 64), **state}


@pytest.fixture(scope="module")
def encoder() -> DashengEncoder:
    """A random encoder of a size that nobody published, every tensor of it random."""
    made = DashengEncoder(DashengConfig(embed_dim=32, depth=2, num_heads=4))
    with torch.no_grad():
        for tensor in made.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape) + 0.1)
    return made.eval()


@pytest.mark.parametrize("shape", ["model and config", "bare", "prefixed", "nested"])
def test_round_trip_is_bit_equal(shape: str, encoder: DashengEncoder, tmp_path: Path) -> None:
    state = original_names(encoder)
    pickled: dict[str, Any] = {
        "model and config": {"model": state, "config": {"num_heads": 4}},
        "bare": state,
        "prefixed": {f"encoder.{name}": tensor for name, tensor in state.items()},
        "nested": {"state_dict": {"encoder": state}, "epoch": 3},
    }[shape]
    torch.save(pickled, tmp_path / "dasheng.pt")
    exported = export_pickle(tmp_path / "dasheng.pt", tmp_path / "out", num_heads=4)
    loaded = load_dasheng_encoder(exported.path)
    assert loaded.config.num_heads == 4
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert any("front_end" in note for note in exported.notes)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.safetensors"]


def test_config_and_other_things_are_kept_or_reported(encoder: DashengEncoder, tmp_path: Path) -> None:
    config = {"num_heads": 4, "lr": 3e-4, "names": ["a", "b"]}
    state = {**original_names(encoder), "extra": {"note": "text"}}
    torch.save({"model": state, "config": config, "optimizer": {"step": 5}}, tmp_path / "d.pt")
    exported = export_pickle(tmp_path / "d.pt", tmp_path / "out")
    with safe_open(exported.path, "pt") as file:
        assert json.loads(file.metadata()["config"]) == config
    notes = "\n".join(exported.notes)
    assert "left out extra.note: a str, not a tensor" in notes
    assert "left out optimizer" in notes


def test_the_original_dasheng_computes_the_same_after_export(tmp_path: Path) -> None:
    golden = load_file(GOLDEN / "dasheng_original.safetensors")
    heads = json.loads((GOLDEN / "dasheng_meta.json").read_text())["encoder_kwargs"]["num_heads"]
    state = {name.removeprefix("w."): tensor for name, tensor in golden.items() if name.startswith("w.")}
    torch.save({"model": state, "config": {}}, tmp_path / "dasheng.pt")
    encoder = load_dasheng_encoder(export_pickle(tmp_path / "dasheng.pt", tmp_path / "out", num_heads=heads).path)
    pcm = np.load(GOLDEN / "waveform_master_int16.npz")["pcm"][:16_000]
    audio = torch.from_numpy(pcm.astype(np.float32) / 32_768)[None]
    with torch.no_grad():
        features, _ = encoder(LogMel()(audio), torch.tensor([16_000]))
    torch.testing.assert_close(features[0], golden["dasheng.1s"].reshape(features[0].shape), atol=1e-4, rtol=0)


def test_a_whole_model_becomes_a_model_folder(tmp_path: Path) -> None:
    source, target = tmp_path / "pickled", tmp_path / "converted"
    tiny_folder(source)
    tensors = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    torch.save(tensors, source / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="opendasheng export --from-pickle"):
        opendasheng.load(source)
    for name in ("private.json", "letter.txt", "notes.jinja", "pytorch_model.bin.index.json"):
        (source / name).write_text("{}")
    (source / "merges.txt").write_text("#version: 0.2\n")
    names = {path.name for path in source.iterdir() if path.suffix in (".json", ".jinja", ".txt")}
    export_pickle(source / "pytorch_model.bin", target)
    kept = names - {"private.json", "letter.txt", "notes.jinja", "pytorch_model.bin.index.json"}
    assert {path.name for path in target.iterdir()} == {"model.safetensors", *kept}
    assert {"config.json", "tokenizer.json", "processor_config.json", "chat_template.jinja", "merges.txt"} <= kept
    converted = load_file(target / "model.safetensors")
    assert converted.keys() == tensors.keys()
    assert all(torch.equal(converted[name], tensor) for name, tensor in tensors.items())
    assert opendasheng.load(target).generate(np.zeros(4_000, np.float32), "A", max_new_tokens=1).num_prompt_tokens


def test_glap_as_published_keeps_its_names(tmp_path: Path) -> None:
    tensors = glap_reference.weights()
    front_end = {"audio_encoder.model.front_end.0.mel_scale.fb": torch.zeros(257, 64)}
    torch.save({"config": {"model": "GLAP"}, "model": tensors | front_end}, tmp_path / "glap_checkpoint.pt")
    exported = export_pickle(tmp_path / "glap_checkpoint.pt", tmp_path / "out", num_heads=4)
    written = load_file(exported.path)
    assert all(torch.equal(written[name], value) for name, value in tensors.items())
    with safe_open(exported.path, "pt") as file:
        glap_of(written, exported.path, file.metadata())
    tensors.pop("text_proj.0.bias")
    torch.save({"model": tensors}, tmp_path / "half.pt")
    with pytest.raises(CheckpointError, match=r"half\.pt: these are no weights of GLAP"):
        export_pickle(tmp_path / "half.pt", tmp_path / "other", num_heads=4)
    assert not (tmp_path / "other" / "model.safetensors").exists()


def test_nothing_is_overwritten(encoder: DashengEncoder, tmp_path: Path) -> None:
    torch.save(original_names(encoder), tmp_path / "d.pt")
    export_pickle(tmp_path / "d.pt", tmp_path / "out", num_heads=4)
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="holds a model already"):
        export_pickle(tmp_path / "d.pt", tmp_path / "out", num_heads=4)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


class Malicious:
    """Unpickling this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_wants_to_run_code_is_refused(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"model": Malicious(tmp_path / "pwned")}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"evil\.pt.*wants to run code.*mkdir"):
        export_pickle(path, tmp_path / "out")
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "out").exists()


def endless() -> dict[str, Any]:
    table: dict[str, Any] = {}
    table["itself"] = table
    return table


@pytest.mark.parametrize(
    ("pickled", "words"),
    [
        ({"decoder.a": torch.eye(3).to_sparse()}, "decoder.a is sparse"),
        ({"decoder.a": torch.zeros(3, device="meta")}, "decoder.a is on no device"),
        ({"decoder.a": torch.zeros(1).expand(10**13)}, "decoder.a makes 40000000000000 bytes of 4"),
        ({"model": endless()}, "hold each other without end"),
    ],
)
def test_tensors_that_are_not_plain_are_refused(pickled: dict[str, Any], words: str, tmp_path: Path) -> None:
    torch.save(pickled, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=words):
        export_pickle(tmp_path / "odd.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_checkpoint_is_named(encoder: DashengEncoder, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"

    def refuse(words: str, **options: int) -> None:
        with pytest.raises(CheckpointError, match=words) as caught:
            export_pickle(path, tmp_path / "out", **options)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out" / "model.safetensors").exists()

    refuse("no such file")
    for content in (b"", b"text, no pickle", pickle.dumps({"a": 1}, protocol=2)[:-3], b"PK\3\4" + bytes(100)):
        path.write_bytes(content)
        refuse("not a PyTorch checkpoint")
    torch.save([torch.zeros(3)], path)
    refuse("holds a list")
    torch.save({"epoch": 3}, path)
    refuse("no tensor")
    torch.save(original_names(encoder), path)
    path.write_bytes(path.read_bytes()[:-2000])
    refuse("damaged")
    torch.save(original_names(encoder), path)
    refuse("--num-heads")
    state = original_names(encoder)
    del state["norm.weight"]
    torch.save({**state, "head.weight": torch.zeros(2)}, path)
    refuse(r"missing norm\.weight; unexpected head\.weight", num_heads=4)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_our_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.pt").write_bytes(content)
        with pytest.raises(CheckpointError):
            export_pickle(Path(folder) / "x.pt", Path(folder) / "out")


def test_the_command(encoder: DashengEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": original_names(encoder), "config": {"num_heads": 4}}, tmp_path / "d.pt")
    arguments = ["export", "--from-pickle", str(tmp_path / "d.pt"), "--output", str(tmp_path / "out")]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'out' / 'model.safetensors'}\n"
    assert err == "opendasheng: left out front_end.0.mel_scale.fb: the front-end is computed\n"
    assert main(arguments) == 2
    assert "holds a model already" in capsys.readouterr().err

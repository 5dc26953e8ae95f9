"""``opendasheng embed`` and ``search``, as somebody types them."""

import json

import numpy as np
import pytest
import soundfile
from tiny_audio_text import scorer

from opendasheng.cli import main
from opendasheng.model.audio_text_files import save_own


@pytest.fixture
def model(tmp_path):
    ours = scorer()
    save_own(ours.model, ours._texts, tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def folder(tmp_path):
    """Two tones."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for name, hertz in (("low", 200), ("high", 3000)):
        soundfile.write(sounds / f"{name}.wav", 0.3 * np.sin(2 * np.pi * hertz * np.arange(32_000) / 16_000), 16_000)
    return sounds


def test_sounds_are_found_by_words_and_by_sound(model, folder, capsys):
    assert main(["search", "a dog barks", str(folder), "--model", model]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split("\t")[1] for line in lines} == {str(folder / "low.wav"), str(folder / "high.wav")}
    assert all(line.split("\t")[2] == "0.0-2.0 s" for line in lines)
    assert (folder / ".opendasheng-index" / "index.json").is_file()
    assert main(["search", str(folder / "low.wav"), str(folder), "--model", model, "--json", "--top", "1"]) == 0
    [found] = map(json.loads, capsys.readouterr().out.splitlines())
    assert found["recording"] == str(folder / "low.wav")
    assert found["cosine"] > 0.99


def test_an_index_is_made_once_and_used_again(model, folder, tmp_path, capsys):
    index = tmp_path / "index"
    assert main(["embed", str(folder), "--output", str(index), "--model", model]) == 0
    before = (index / "vectors.f16").read_bytes()
    assert main(["search", "dog", str(folder / "low.wav"), "--index", str(index), "--model", model]) == 0
    assert (index / "vectors.f16").read_bytes() == before
    assert capsys.readouterr().out.count("low.wav") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", " ", "FOLDER"], 2, "the query is empty"),
        (["search", "dog.wav", "FOLDER"], 2, "dog.wav: no such file"),
        (["search", "dog", "FOLDER", "--top", "0"], 2, "--top is 0"),
        (["search", "dog", "FOLDER/low.wav"], 2, "name a folder for the index"),
        (["search", "dog", "FOLDER/none"], 1, "none"),
        (["search", "dog", "FOLDER", "--model", "FOLDER"], 1, "no safetensors file"),
        (["search", "dog", "FOLDER", "--model", "./none"], 1, "./none: no such file"),
    ],
)
def test_wrong_usage_is_told(model, folder, capsys, arguments, code, message):
    given = [argument.replace("FOLDER", str(folder)) for argument in arguments]
    if "--model" not in given:
        given += ["--model", model]
    if given[2].endswith("none"):
        given += ["--index", str(folder / ".index")]
    assert main(given) == code
    assert message.replace("FOLDER", str(folder)) in capsys.readouterr().err


def test_what_cannot_be_heard_leaves_the_rest(model, folder, capsys):
    (folder / "broken.wav").write_bytes(b"RIFF")
    assert main(["search", "dog", str(folder), "--model", model]) == 1
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 2
    assert "broken.wav" in told.err

"""Folders of our own audio-text models: what is saved loads again, what is damaged is named."""

import json

import numpy as np
import pytest
from tiny_audio_text import noise, scorer

from opendasheng.errors import CheckpointError
from opendasheng.model.audio_text_files import load_audio_text, save_own


@pytest.fixture
def folder(tmp_path):
    ours = scorer()
    save_own(ours.model, ours._texts, tmp_path / "model")
    return tmp_path / "model"


def test_what_is_saved_loads_again(folder):
    ours, again = scorer(), load_audio_text(folder)
    clips, texts = [noise(1), noise(11)], ["a dog barks", "loudly"]
    np.testing.assert_array_equal(again.score(clips, texts), ours.score(clips, texts))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "cannot be read"),
        ("config.json", b"[]", "holds no table"),
        ("config.json", b'{"model_type": "opendasheng_audio_text"}', "do not fit"),
        ("model.safetensors", b"", "safetensors"),
        ("tokenizer.json", b"{}", "tokenizer"),
    ],
)
def test_damaged_files_are_named(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_audio_text(folder)


@pytest.mark.parametrize(("key", "value"), [("embed_size", 9), ("pooling", "best"), ("embed_size", "x")])
def test_a_config_of_another_model_is_refused(folder, key, value):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_audio_text(folder)

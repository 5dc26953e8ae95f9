"""``opendasheng train``: values on the command line, and which sources a recipe may name."""

import json
from pathlib import Path

import numpy as np
import pytest

from opendasheng.cli import main
from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardWriter

RECIPE = """
name = "trial"
stage = "mae"

[data]
batch_clips = 2
crop_seconds = 1.0

[data.mixture.repeats]
sound = 2.0
{rates}

[model]
encoder_dim = 16
encoder_depth = 1
encoder_heads = 2

[mae]
decoder_dim = 16
decoder_depth = 1
decoder_heads = 2

[loop]
steps = 1

[compute]
workers = 0
device = "cpu"
"""


@pytest.fixture
def train(tmp_path: Path):
    """A function that trains by the recipe with some rates, on a corpus of the source ``mine`` alone; its exit code."""
    with ShardWriter(tmp_path / "corpus" / "mine", source="mine", fingerprint="1") as writer:
        for number in range(2):
            clip = Clip(f"clip-{number}", "mine", "CC0-1.0", "train", "sound", 1.0, labels=("hiss",))
            writer.add(clip, np.random.default_rng(number).standard_normal(16_000).astype(np.float32) * 0.1)

    def run(rates: str, *overrides: str) -> int:
        path = tmp_path / "recipe.toml"
        path.write_text(RECIPE.format(rates=rates))
        places = ["--data.corpus", str(tmp_path / "corpus"), "--output", str(tmp_path / "runs")]
        return main(["train", str(path), *places, *overrides])

    return run


def test_values_are_overridden_on_the_command_line(train, tmp_path):
    assert train("mine = 1.0", "--name", "other", "--loop.steps", "2") == 0
    folder = tmp_path / "runs" / "other"
    assert json.loads((folder / "record.json").read_text())["steps"] == 2
    resolved = json.loads((folder / "config.json").read_text())
    assert (resolved["data"]["corpus"], resolved["data"]["batch_clips"]) == (str(tmp_path / "corpus"), 2)


def test_a_value_without_sense_is_refused_before_anything_is_made(train, tmp_path, capsys):
    for option, value in (("seed", "-1"), ("data.batch-seconds", "inf"), ("model.encoder-dim", "0")):
        assert train("mine = 1.0", f"--{option}", value) == 2
        assert f"{option.replace('-', '_')} is {value}; it is" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_source_of_the_catalogue_need_not_be_built(train, tmp_path, caplog):
    caplog.set_level("INFO")
    assert train("mine = 1.0\nlibflite1 = 0.5") == 0
    assert any("repeats: libflite1 is not built in" in message for message in caplog.messages)
    assert not any("repeats: mine" in message for message in caplog.messages)
    [row] = json.loads((tmp_path / "runs" / "trial" / "record.json").read_text())["drawn"]
    assert (row["source"], row["draws"]) == ("mine", 2)


def test_a_source_that_nobody_knows_is_refused_with_those_like_it(train, tmp_path, capsys):
    assert train("libflit1 = 0.5") == 2
    assert "no source or kind 'libflit1'; did you mean 'libflite1'?" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "trial" / "initial").exists()

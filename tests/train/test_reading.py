"""A run over permissive clips alone hears nothing else, in any stage, and says what it left out."""

import json
import shutil
from dataclasses import replace

import pytest

from opendasheng.card import model_card
from opendasheng.data.shards import ShardReader, ShardWriter
from opendasheng.errors import ConfigError
from opendasheng.train.config import DataConfig
from opendasheng.train.loop import Run
from opendasheng.train.reading import open_corpus


@pytest.fixture
def two_licences(tiny_corpus, tmp_path):
    """The tiny corpus, which is CC0, and the same clips once more under another licence, of other words."""
    corpus = tmp_path / "two"
    shutil.copytree(tiny_corpus, corpus)
    reader = ShardReader(tiny_corpus)
    with ShardWriter(corpus / "other", source="other", fingerprint="1") as writer:
        for number, clip in enumerate(reader.clips):
            transcript = clip.transcript and "xylophone quiz"
            other = replace(clip, id=f"other-{clip.id}", source="other", licence="GPL-2+", transcript=transcript)
            writer.add(other, reader.audio(number))
    return corpus


@pytest.mark.parametrize("stage", ["align", "mae"])
def test_a_run_draws_them_alone(tiny_run, two_licences, stage):
    config = replace(tiny_run(), stage=stage)
    mixture = replace(config.data.mixture, repeats={"other": 3.0, "synthetic": 2.0})
    run = Run(
        replace(config, data=replace(config.data, corpus=str(two_licences), permissive_only=True, mixture=mixture))
    )
    run.train()
    record = json.loads((run.folder / "record.json").read_text())
    assert record["not_drawn"]["licence is not permissive (data.permissive_only)"] == 12
    assert [row["source"] for row in record["drawn"]] == ["synthetic"]
    assert {row["licence"] for row in record["sources"]} == {"CC0-1.0"}
    if stage == "align":
        assert not any("xyl" in token for token in run.learner.processor.tokenizer.get_vocab())
        config = json.loads((run.folder / "config.json").read_text())
        assert "of it what is under a permissive licence" in " ".join(
            model_card(record | {"stages": []}, config).split()
        )


def test_without_the_flag_all_are_heard(two_licences):
    reader, _ = open_corpus(DataConfig(str(two_licences)))
    assert {clip.licence for clip in reader.clips} == {"CC0-1.0", "GPL-2+"}
    assert not reader.left_out


def test_a_corpus_without_any_is_named(two_licences):
    shutil.rmtree(two_licences / "synthetic")
    with pytest.raises(ConfigError, match=r"permissive_only: none of the 12 training clips .* 'GPL-2\+'"):
        open_corpus(DataConfig(str(two_licences), permissive_only=True))

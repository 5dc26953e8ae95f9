"""A run over permissive clips alone hears nothing else, in any stage, and says what it left out."""

import json
import shutil
from dataclasses import replace
from itertools import islice

import pytest

from opendasheng.data.mixture import MixtureConfig
from opendasheng.data.shards import ShardReader, ShardWriter
from opendasheng.errors import ConfigError
from opendasheng.export import export_run
from opendasheng.train.config import DataConfig, DistilConfig
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


@pytest.mark.parametrize("stage", ["align", "distil", "mae", "sft"])
def test_a_run_draws_them_alone(tiny_run, tiny_whisper, two_licences, stage):
    config = replace(tiny_run(), stage=stage, distil=DistilConfig(str(tiny_whisper), min_count=1))
    mixture = replace(config.data.mixture, repeats={"other": 3.0, "synthetic": 2.0})
    run = Run(
        replace(config, data=replace(config.data, corpus=str(two_licences), permissive_only=True, mixture=mixture))
    )
    run.train()
    record = json.loads((run.folder / "record.json").read_text())
    assert record["not_drawn"]["licence is not permissive (data.permissive_only)"] == 12
    assert [row["source"] for row in record["drawn"]] == ["synthetic"]
    assert {row["licence"] for row in record["sources"]} == {"CC0-1.0"}
    heard = {draw.index for _, draws in islice(run.learner.plan.from_step(0), 50) for draw in draws}
    assert {run.learner.reader.clips[index].licence for index in heard} == {"CC0-1.0"}
    if stage == "distil":
        assert run.learner.spelling.characters == "dorw"  # of the other transcripts: x, y, z and more
    if stage in ("align", "sft"):
        assert not any("xyl" in token for token in run.learner.processor.tokenizer.get_vocab())


def card_of(run, tmp_path):
    return " ".join((export_run(run.folder, tmp_path / f"card-{run.config.name}") / "README.md").read_text().split())


def test_the_card_says_so_of_every_stage(tiny_run, two_licences, tmp_path):
    def trained(name, *, permissive_only, init=""):
        config = tiny_run(name)
        data = replace(config.data, corpus=str(two_licences), permissive_only=permissive_only)
        run = Run(replace(config, data=data, model=replace(config.model, init=init)))
        run.train()
        return run

    first = trained("first", permissive_only=True)
    told = card_of(first, tmp_path)
    assert (
        "what is under a permissive licence; clips and hours before repetition. Left out for their licence: 12" in told
    )
    assert "GPL" not in told
    second = trained("second", permissive_only=True, init=str(first.folder / "model"))
    assert "limited" not in card_of(second, tmp_path)
    free = trained("free", permissive_only=False)
    assert "permissive" not in card_of(free, tmp_path)
    third = trained("third", permissive_only=True, init=str(free.folder / "model"))
    assert "The run that it goes on from was not so limited: free." in card_of(third, tmp_path)
    shutil.move(first.folder, tmp_path / "gone")
    fourth = trained("fourth", permissive_only=True, init=str(tmp_path / "gone" / "model"))
    shutil.rmtree(tmp_path / "gone")
    assert "What was heard by gone, which the first run began from, is not told" in card_of(fourth, tmp_path)


def test_without_the_flag_all_are_heard(two_licences):
    reader, _ = open_corpus(DataConfig(str(two_licences)))
    assert {clip.licence for clip in reader.clips} == {"CC0-1.0", "GPL-2+"}
    assert not reader.left_out


def test_a_corpus_without_any_is_named(two_licences):
    shutil.rmtree(two_licences / "synthetic")
    with pytest.raises(ConfigError, match=r"permissive_only: none of the 12 training clips .* 'GPL-2\+'"):
        open_corpus(DataConfig(str(two_licences), permissive_only=True))


def test_a_corpus_without_a_clip_to_train_on_is_named(tiny_corpus, tmp_path):
    reader = ShardReader(tiny_corpus, split="dev")
    with ShardWriter(tmp_path / "dev", source="dev", fingerprint="1") as writer:
        writer.add(reader.clips[0], reader.audio(0))
    with pytest.raises(ConfigError, match=rf"{tmp_path} has no training clip, all are of other .* lower --dev-percent"):
        open_corpus(DataConfig(str(tmp_path)))


def test_rates_of_sources_without_a_clip_to_learn_from_are_told_and_left_out(two_licences, caplog):
    caplog.set_level("INFO")
    with ShardWriter(two_licences / "tested", source="tested", fingerprint="1") as writer:
        reader = ShardReader(two_licences, split="test")
        writer.add(replace(reader.clips[0], id="tested-0", source="tested"), reader.audio(0))
    rates = {"other": 3.0, "tested": 2.0, "far": 0.5, "speech": 1.0, "synthetic": 2.0}
    data = DataConfig(str(two_licences), permissive_only=True, mixture=MixtureConfig(repeats=rates))
    _, mixture = open_corpus(data, catalogue=["far", "farther"])
    assert mixture.repeats == {"speech": 1.0, "synthetic": 2.0}
    told = [message.partition(" in ")[0].rpartition(": ")[2] for message in caplog.messages]
    assert told == ["far is not built", "other has no clip to learn from", "tested has no clip to learn from"]
    with pytest.raises(ConfigError, match=r"no source or kind 'far'; there are music, other, sound, speech, synth"):
        open_corpus(data)

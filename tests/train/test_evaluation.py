"""Validation stays within the limits of training, and a run goes on without it where it has nothing to hear."""

import json
from dataclasses import replace

import pytest

from opendasheng.data.batching import BatchPlan
from opendasheng.data.mixture import Mixture
from opendasheng.data.shards import ShardReader, ShardWriter
from opendasheng.model.pretraining import MAEConfig
from opendasheng.train.config import DistilConfig
from opendasheng.train.evaluation import mixture_of
from opendasheng.train.loop import Run


def _is_validated(run):
    return any("dev_loss" in json.loads(line) for line in (run.folder / "metrics.jsonl").open())


@pytest.mark.parametrize("stage", ["align", "distil", "mae"])
def test_dev_clips_of_rate_0_alone_end_no_run(tiny_run, tiny_corpus, tiny_whisper, tmp_path, stage, caplog):
    caplog.set_level("INFO")
    reader = ShardReader(tiny_corpus, split=("train", "dev"))
    with ShardWriter(tmp_path / "corpus" / "synthetic", source="synthetic", fingerprint="1") as writer:
        for index, clip in enumerate(reader.clips):
            if clip.split == "train" or clip.kind == "speech":
                writer.add(clip, reader.audio(index))
    config = replace(tiny_run(test_clips=0), stage=stage, distil=DistilConfig(str(tiny_whisper), min_count=1))
    config = replace(config, mae=MAEConfig(decoder_dim=16, decoder_depth=1, decoder_heads=2))
    mixture = replace(config.data.mixture, repeats={"speech": 0.0})
    run = Run(replace(config, data=replace(config.data, corpus=str(tmp_path / "corpus"), mixture=mixture)))
    assert run.train() is not None
    told = "none of the 2 dev clips is usable, so the run is not validated: the mixture draws nothing"
    assert sum(message.startswith(told) for message in caplog.messages) == 1
    assert not _is_validated(run)


@pytest.mark.parametrize("stage", ["align", "distil"])
def test_dev_clips_that_are_all_too_long_end_no_run(tiny_run, tiny_whisper, stage, caplog):
    caplog.set_level("INFO")
    config = replace(tiny_run(test_clips=0), stage=stage, distil=DistilConfig(str(tiny_whisper), min_count=1))
    mixture = replace(config.data.mixture, max_clip_seconds=1.1)  # as long as those of training
    run = Run(replace(config, data=replace(config.data, mixture=mixture)))
    assert run.train() is not None
    told = "none of the 4 dev clips is usable, so the run is not validated: no clip is at most 1.1 s long"
    assert sum(message.startswith(told) for message in caplog.messages) == 1
    assert not _is_validated(run)


def test_dev_batches_are_bounded_by_tokens_where_those_of_training_are(tiny_run):
    config = tiny_run()
    free = Run(config).learner._validation
    mixture = Mixture(free.clips, mixture_of(config.data.mixture, free.clips), config.seed)
    by_audio = BatchPlan(mixture, batch_seconds=config.data.batch_seconds, batch_clips=config.data.batch_clips)
    assert free.batches == by_audio.epoch(0)
    limit = max(free.collate(draws)["input_ids"].numel() for draws in free.batches) - 1
    bounded = Run(replace(tiny_run("bounded"), data=replace(config.data, batch_tokens=limit))).learner._validation
    assert len(bounded.batches) > len(free.batches)
    assert all(bounded.collate(draws)["input_ids"].numel() <= limit for draws in bounded.batches)

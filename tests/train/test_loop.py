"""Law 6: a run that was stopped or killed and resumed equals one that was not. And a run learns, and stops on NaN."""

import json
import os
import re
import shutil
import signal
import sys
import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from full_disk import largest_file
from run_metrics import losses
from safetensors.torch import load_file

from opendasheng.data.augment import Change
from opendasheng.data.mixture import Draw, Follower
from opendasheng.data.tasks import Example
from opendasheng.errors import ConfigError, CorpusError, TrainingError
from opendasheng.model import MiDashengLMModel
from opendasheng.train.config import DistilConfig, LoraConfig
from opendasheng.train.loop import Run


def test_resumed_equals_uninterrupted(tiny_run, cut_short):
    whole = Run(tiny_run("whole"))
    finished = whole.train()
    cut_short(Run(tiny_run("cut")))
    again = Run(tiny_run("cut"))
    assert again.train() == again.folder / "model"
    assert losses(again) == losses(whole)
    expected, resumed = (load_file(run / "model.safetensors") for run in (finished, again.folder / "model"))
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_killed_between_checkpoints_equals_uninterrupted(tiny_run):
    """As after kill -9: what came after the last checkpoint is lost and done again."""
    whole = Run(tiny_run("whole"))
    whole.train()
    killed = Run(tiny_run("killed"))
    killed.train()
    for checkpoint in sorted((killed.folder / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)
    shutil.rmtree(killed.folder / "model")
    (killed.folder / "checkpoints" / ".step-00000006.tmp").mkdir()
    again = Run(tiny_run("killed"))
    again.train()
    a, b = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, again))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_sigterm_saves_and_ends_cleanly(tiny_run):
    run = Run(tiny_run(steps=10_000, save_every=10_000, eval_every=10_000))
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert run.train() is None
    saved = sorted((run.folder / "checkpoints").iterdir())
    assert [path.name for path in saved] == [f"step-{run.step:08d}"]
    assert 0 < run.step < 10_000


def test_a_run_learns_and_its_model_loads(tiny_run):
    run = Run(tiny_run(steps=60, save_every=60, eval_every=30))
    model = MiDashengLMModel.from_pretrained(run.train())
    by_step = losses(run)
    assert by_step[60] < 0.6 * by_step[1]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), run.model.parameters(), strict=True))
    dev = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()][-1]
    assert dev["dev_loss"] > 0
    assert dev["samples"]


def test_a_loss_that_is_not_finite_stops_and_names_the_clips(tiny_run):
    config = tiny_run()
    mixture = replace(config.data.mixture, mixed_share=0.5, joined_share=1.0)
    run = Run(replace(config, data=replace(config.data, mixture=mixture)))
    with torch.no_grad():
        run.model.audio_projector.net[0].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="loss is nan at step 0"):
        run.train()
    saved = json.loads((run.folder / "bad_batch.json").read_text())
    number = {clip.id: number for number, clip in enumerate(run.learner.clips)} | {None: None}
    told = [
        Draw(
            number[clip["id"]],
            Example(clip["task"], clip["prompt"], clip["answer"], clip["system"]),
            clip["duration_seconds"],
            clip["gain_db"],
            number[clip["background"]],
            clip["background_db"],
            Change(**clip["change"]),
            tuple(Follower(number[after["id"]], after["pause_seconds"]) for after in clip["followers"]),
        )
        for clip in saved["clips"]
    ]
    assert told == [draw for _, draws in islice(run.learner.plan.from_step(0), 2) for draw in draws]
    assert any(draw.background is not None for draw in told)
    assert any(draw.followers for draw in told)


def test_another_config_in_the_same_folder_is_refused(tiny_run):
    Run(tiny_run())
    with pytest.raises(TrainingError, match="another run"):
        Run(tiny_run(steps=7))


@pytest.mark.parametrize(
    "broken",
    [
        lambda config: replace(config, lora=LoraConfig(targets=("decoder.*.qproj",)), seed=1),
        lambda config: replace(config, data=replace(config.data, corpus="nowhere")),
        lambda config: replace(config, loop=replace(config.loop, tensorboard=True), seed=1),
    ],
    ids=["targets", "corpus", "extra"],
)
def test_a_start_that_failed_leaves_the_folder_to_the_next(tiny_run, broken, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises((ConfigError, CorpusError), match=r"qproj|nowhere|\[tensorboard\]"):
        Run(broken(tiny_run()))
    run, fresh = Run(tiny_run()), Run(tiny_run("fresh"))
    assert json.loads((run.folder / "config.json").read_text())["seed"] == 3
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), fresh.model.parameters(), strict=True))


# What cannot be read


@pytest.fixture
def damaged_run(tiny_run, tiny_corpus, overwrite, tmp_path):
    """A run over a corpus of which one clip is overwritten."""

    def make(name, **changes):
        corpus = tmp_path / "damaged"
        if not corpus.exists():
            shutil.copytree(tiny_corpus, corpus)
            overwrite(corpus, "train-3")
        config = tiny_run(name)
        return replace(config, data=replace(config.data, corpus=str(corpus)), **changes)

    return make


@pytest.mark.parametrize("stage", ["align", "mae"])
def test_a_clip_that_cannot_be_read_is_left_out_and_told(damaged_run, stage, caplog):
    config = damaged_run("damaged")
    run = Run(replace(config, stage=stage))
    folder = run.train()
    assert folder is not None
    [told] = json.loads((run.folder / "record.json").read_text())["left_out"]
    assert (told["id"], told["split"]) == ("train-3", "train")
    assert re.search(r"clip train-3 of .*shard-.*tar: .*FLAC", told["error"])
    assert sum("left out" in message for message in caplog.messages) == 1
    assert all(np.isfinite(loss) for loss in losses(run).values())


def test_of_a_shard_that_is_cut_off_the_clips_before_the_cut_are_heard(tiny_run, tiny_corpus, tmp_path):
    corpus = shutil.copytree(tiny_corpus, tmp_path / "cut")
    index = json.loads((corpus / "synthetic" / "index.json").read_text())
    cut = next(clip for clip in index["clips"] if clip["id"] == "train-9")
    os.truncate(corpus / "synthetic" / index["shards"][0]["name"], cut["offset"] + 10)
    config = tiny_run("cut")
    run = Run(replace(config, data=replace(config.data, corpus=str(corpus))))
    assert run.train() is not None
    told = {(row["split"], row["id"]) for row in json.loads((run.folder / "record.json").read_text())["left_out"]}
    assert {name for split, name in told if split == "train"} == {"train-9", "train-10", "train-11"}
    assert all(split == "dev" for split, name in told if not name.startswith("train"))
    assert all(np.isfinite(loss) for loss in losses(run).values())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_clip_that_is_heard_under_others_and_cannot_be_read_is_the_one_told(damaged_run, workers):
    config = damaged_run("under")
    mixture = replace(config.data.mixture, mixed_share=1.0, repeats={"speech": 0.0})
    config = replace(config, data=replace(config.data, mixture=mixture))
    run = Run(replace(config, compute=replace(config.compute, workers=workers)))
    run.train()
    [told] = json.loads((run.folder / "record.json").read_text())["left_out"]
    assert told["id"] == "train-3"
    assert "clip train-3 of" in told["error"]


@pytest.mark.parametrize("stage", ["align", "distil", "mae"])
def test_a_dev_clip_that_cannot_be_read_is_told_once(damaged_run, tiny_whisper, overwrite, stage, caplog):
    config = damaged_run("dev", stage=stage, distil=DistilConfig(str(tiny_whisper), min_count=1))
    overwrite(Path(config.data.corpus), "dev-12")
    run = Run(config)
    run.train()
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert sum("dev_loss" in line for line in lines) == 2
    told = {clip["id"]: clip for clip in json.loads((run.folder / "record.json").read_text())["left_out"]}
    assert told.keys() == {"train-3", "dev-12"}
    assert told["dev-12"]["split"] == "dev"
    assert re.search(r"clip dev-12 of .*shard-00000\.tar: .*FLAC", told["dev-12"]["error"])
    assert sum("left out of the dev split: clip dev-12" in message for message in caplog.messages) == 1
    assert (run.folder / "left_out.jsonl").read_text().count("dev-12 of") == 1


def test_a_clip_that_is_alone_in_its_batch_and_cannot_be_read_ends_no_run(damaged_run, caplog):
    config = damaged_run("alone")
    one_by_one = replace(config, data=replace(config.data, batch_clips=1), optim=replace(config.optim, accumulate=1))
    run = Run(replace(one_by_one, loop=replace(config.loop, steps=30)))
    assert run.train() is not None
    empty = [message for message in caplog.messages if "nothing is learnt" in message]
    record = json.loads((run.folder / "record.json").read_text())
    assert [clip["id"] for clip in record["left_out"]] == ["train-3"]
    assert 0 < len(empty) < 30
    assert len(losses(run)) == 30 - len(empty)


def test_a_line_that_a_kill_left_torn_is_mended(tiny_run):
    run = Run(tiny_run("torn"))
    told = {"id": "train-0", "error": "gone"}
    (run.folder / "left_out.jsonl").write_text(json.dumps(told) + '\n{"id": "train-1", "err')
    again = Run(tiny_run("torn"))
    again.train()
    assert json.loads((again.folder / "record.json").read_text())["left_out"] == [told]


def test_weights_that_the_last_step_breaks_are_no_model(tiny_run):
    config = tiny_run("broken")
    run = Run(
        replace(config, optim=replace(config.optim, lr=1e300, warmup_steps=0), loop=replace(config.loop, steps=1))
    )
    with pytest.raises(TrainingError, match=r"is not finite after step 1: lower optim\.lr \(1e\+300\)"):
        run.train()
    assert not (run.folder / "model").exists()


def test_damaged_test_clips_end_no_run(damaged_run, overwrite, caplog):
    config = damaged_run("untested")
    overwrite(Path(config.data.corpus), "test-16", "test-17")
    run = Run(replace(config, loop=replace(config.loop, test_clips=20)))
    run.train()
    rows = json.loads((run.folder / "record.json").read_text())["test"]
    assert max(row["num_clips"] for row in rows) == 4  # of six
    assert any("left out of the test: clip test-16" in message for message in caplog.messages)


def test_a_corpus_of_which_nothing_can_be_read_ends_the_run(damaged_run):
    config = damaged_run("gone")
    run = Run(replace(config, loop=replace(config.loop, steps=20)))
    for shard in Path(config.data.corpus).glob("*/*.tar"):
        shard.write_bytes(b"")
    with pytest.raises(TrainingError, match=r"no clip can be read in 10 steps in a row; .*left_out\.jsonl"):
        run.train()
    with pytest.raises(TrainingError, match="of 12 clips none can be read"):
        Run(replace(config, name="again"))


def test_a_loss_that_jumps_stops_and_names_the_clips(tiny_run):
    for _ in range(2):  # the same command again comes to the same end, judged by the same steps
        run = Run(tiny_run(steps=110, save_every=100, eval_every=1000))
        take = run.learner.loss

        def jump(batch, num_items, run=run, take=take):
            return take(batch, num_items) * (100 if run.step == 105 else 1)

        run.learner.loss = jump
        with pytest.raises(TrainingError, match=r"loss is .* at step 105, over 4 times the .*loop\.max_loss_jump"):
            run.train()
    saved = json.loads((run.folder / "bad_batch.json").read_text())
    assert saved["step"] == 105
    assert all(clip["id"].startswith("train-") for clip in saved["clips"])


@pytest.mark.parametrize(("step", "ends"), [(9, False), (10, True)])
def test_ten_losses_are_enough_to_judge_by(tiny_run, step, ends):
    run = Run(tiny_run())
    run.step = step
    for _ in range(step):
        run._watch(1.0, [])
    if ends:
        with pytest.raises(TrainingError, match=r"loss is 5.0 at step 10, over 4 times the 1 of"):
            run._watch(5.0, [])
    run._watch(3.9 if ends else 5.0, [])


def test_a_jump_may_be_allowed(tiny_run):
    config = tiny_run(steps=103, save_every=1000, eval_every=1000)
    run = Run(replace(config, loop=replace(config.loop, max_loss_jump=0.0)))
    take = run.learner.loss
    run.learner.loss = lambda batch, num_items: take(batch, num_items) * (100 if run.step == 101 else 1)
    assert run.train() is not None


def test_a_run_that_jumped_goes_on_with_a_higher_limit(tiny_run):
    config = tiny_run(steps=104, save_every=50, eval_every=1000)
    losses = []
    for limit in (4.0, 0.0):
        run = Run(replace(config, loop=replace(config.loop, max_loss_jump=limit)))
        take = run.learner.loss

        def jump(batch, num_items, run=run, take=take):
            losses.append(run.step)
            return take(batch, num_items) * (100 if run.step == 102 else 1)

        run.learner.loss = jump
        if limit:
            with pytest.raises(TrainingError, match="goes on from the last checkpoint"):
                run.train()
    assert run.train() is not None
    assert losses[-1] == 103
    assert losses.count(0) == losses.count(99) == 2  # two batches a step, none taken twice
    assert losses.count(101) == 4


def test_a_torn_line_of_the_metrics_is_mended(tiny_run, cut_short):
    cut_short(Run(tiny_run()))
    run = Run(tiny_run())
    before = (run.folder / "metrics.jsonl").read_text()
    (run.folder / "metrics.jsonl").write_text(before + '{"step": 4, "lo')
    again = Run(tiny_run())
    again.train()
    assert (run.folder / "metrics.jsonl").read_text().startswith(before)
    assert list(losses(again)) == [1, 2, 3, 4, 5, 6]
    with largest_file(10), pytest.raises(TrainingError, match=r"metrics\.jsonl cannot be written"):
        again._metrics.write({"step": 7})


def test_a_run_goes_on_with_other_workers_but_not_in_another_precision(tiny_run, cut_short):
    whole = Run(tiny_run("whole"))
    whole.train()
    config = tiny_run("moved")
    cut_short(Run(config))
    with pytest.raises(TrainingError, match="is of another run"):
        Run(replace(config, compute=replace(config.compute, precision="bf16")))
    again = Run(replace(config, compute=replace(config.compute, workers=0, device="cpu")))
    again.train()
    assert losses(again) == losses(whole)
    assert json.loads((again.folder / "config.json").read_text())["compute"]["workers"] == 0

"""``metrics.jsonl`` tells of padding, and TensorBoard reads back what it holds."""

import json
import sys
from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from opendasheng.errors import ConfigError
from opendasheng.train.loop import Run


def test_tensorboard_reads_the_numbers_of_the_metrics(tiny_run):
    config = tiny_run()
    run = Run(replace(config, loop=replace(config.loop, tensorboard=True)))
    run.train()
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    for name in ("loss", "lr", "waiting", "dev_loss"):
        wanted = {line["step"]: line[name] for line in lines if name in line}
        assert wanted
        found = {event.step: event.value for event in events.Scalars(name)}
        assert found == pytest.approx(wanted, rel=1e-6)


def test_padding_is_told_of_audio_and_of_the_positions_of_the_decoder(tiny_run):
    config = tiny_run(steps=1)
    config = replace(config, optim=replace(config.optim, accumulate=1))
    run = Run(config)
    batch = run.learner.collate(next(run.learner.plan.from_step(0))[1])
    longest = batch["attention_mask"].sum(1).max()
    run.train()
    [line] = [line for line in map(json.loads, (run.folder / "metrics.jsonl").open()) if "loss" in line]
    assert line["decoder_padding"] == pytest.approx(1 - float(batch["attention_mask"].sum(1).float().mean() / longest))
    assert line["decoder_padding"] > 0
    seconds = batch["audio_length"].float()
    assert line["padding"] == pytest.approx(1 - float(seconds.mean() / seconds.max()))


def test_without_a_decoder_no_padding_of_it_is_told(tiny_run):
    run = Run(replace(tiny_run(steps=1), stage="mae"))
    run.train()
    lines = list(map(json.loads, (run.folder / "metrics.jsonl").open()))
    assert "padding" in lines[0]
    assert not any("decoder_padding" in line for line in lines)


def test_without_it_nothing_is_written_and_asking_names_the_extra(tiny_run, monkeypatch):
    run = Run(tiny_run())
    run.train()
    assert not (run.folder / "tensorboard").exists()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    config = tiny_run("other")
    with pytest.raises(ConfigError, match=r"opendasheng\[tensorboard\]"):
        Run(replace(config, loop=replace(config.loop, tensorboard=True)))

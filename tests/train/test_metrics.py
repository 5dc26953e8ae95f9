"""What TensorBoard reads back is what ``metrics.jsonl`` holds."""

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


def test_without_it_nothing_is_written_and_asking_names_the_extra(tiny_run, monkeypatch):
    run = Run(tiny_run())
    run.train()
    assert not (run.folder / "tensorboard").exists()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    config = tiny_run("other")
    with pytest.raises(ConfigError, match=r"opendasheng\[tensorboard\]"):
        Run(replace(config, loop=replace(config.loop, tensorboard=True)))

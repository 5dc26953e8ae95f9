"""The record of a run and the card that is written from it, with the runs before it."""

import json
import shutil
from dataclasses import replace

import pytest

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.export import export_run
from opendasheng.model import MiDashengLMModel
from opendasheng.train.loop import Run


@pytest.fixture
def two_runs(tiny_run):
    """The folders of a run of stage align and of one of stage sft that goes on from it."""
    first = Run(tiny_run("first"))
    first.train()
    config = replace(tiny_run("second"), stage="sft")
    second = Run(replace(config, model=replace(config.model, init=str(first.folder / "model"))))
    second.train()
    return first.folder, second.folder


def test_a_card_tells_every_stage_and_the_notes(two_runs, tmp_path):
    folder = export_run(two_runs[1], tmp_path / "exported", notes="It cannot sing.")
    card = (folder / "README.md").read_text()
    assert "It cannot sing." in card
    lines = [[cell.strip() for cell in line.split("|")[1:4]] for line in card.splitlines()]
    assert lines.index(["align", "first", "random weights"]) + 1 == lines.index(["sft", "second", "first"])
    stages = json.loads((folder / "record.json").read_text())["stages"]
    assert all(stage["steps"] > 0 and stage["heard_hours"] > 0 and stage["device"] for stage in stages)
    assert "| synthetic | speech |" in card
    MiDashengLMModel.from_pretrained(folder)


def test_runs_that_were_moved_together_are_still_found(two_runs, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for run in two_runs:
        shutil.move(run, moved / run.name)
    folder = export_run(moved / "second", tmp_path / "exported")
    assert [stage["name"] for stage in json.loads((folder / "record.json").read_text())["stages"]] == [
        "first",
        "second",
    ]


def test_a_run_before_that_is_gone_is_named_and_not_told(two_runs, tmp_path):
    shutil.rmtree(two_runs[0])
    folder = export_run(two_runs[1], tmp_path / "exported")
    [stage] = json.loads((folder / "record.json").read_text())["stages"]
    assert (stage["name"], stage["start"]) == ("second", "first")


def test_a_run_from_an_exported_model_tells_what_that_does(two_runs, tiny_run, tmp_path):
    exported = export_run(two_runs[1], tmp_path / "exported", dtype="float32")
    for run in two_runs:
        shutil.rmtree(run)
    config = replace(tiny_run("third"), stage="sft")
    third = Run(replace(config, model=replace(config.model, init=str(exported))))
    third.train()
    folder = export_run(third.folder, tmp_path / "again")
    stages = json.loads((folder / "record.json").read_text())["stages"]
    assert [(stage["name"], stage["start"]) for stage in stages] == [
        ("first", ""),
        ("second", "first"),
        ("third", "exported"),
    ]


def test_what_is_there_is_not_overwritten_and_a_run_must_be_finished(two_runs, tmp_path):
    with pytest.raises(ConfigError, match="exists already"):
        export_run(two_runs[1], two_runs[0])
    (two_runs[1] / "record.json").unlink()
    with pytest.raises(CheckpointError, match="not a finished training run"):
        export_run(two_runs[1], tmp_path / "exported")


def test_the_record_tells_what_was_really_drawn(tiny_run):
    run = Run(tiny_run())
    heard = []
    take = run._readable
    run._readable = lambda loaded: heard.extend(loaded.draws) or take(loaded)
    run.train()
    [row] = json.loads((run.folder / "record.json").read_text())["drawn"]
    assert (row["source"], row["draws"], row["share"]) == ("synthetic", len(heard), 1.0)
    assert row["hours"] == pytest.approx(sum(draw.duration_seconds for draw in heard) / 3600)


@pytest.mark.parametrize("log_every", [1, 4, 100])
def test_hours_are_those_of_the_steps_however_often_they_are_logged(tiny_run, log_every):
    run = Run(tiny_run(steps=10, log_every=log_every, test_clips=0))
    run.train()
    record = json.loads((run.folder / "record.json").read_text())
    assert record["heard_hours"] == pytest.approx(sum(row["hours"] for row in record["drawn"]), rel=1e-3)

"""Whole runs by real Ray: every clip is told of once, whatever becomes of it, and a run that was killed goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_audio_text
from clip_corpora import damage, write_clips
from tiny_listeners import python_path

from opendasheng.curate import pipeline
from opendasheng.curate.config import CurationConfig
from opendasheng.curate.journal import read_records
from opendasheng.curate.record import Record
from opendasheng.data.shards import ShardReader
from opendasheng.errors import ConfigError
from opendasheng.model.audio_text_files import save_own
from opendasheng.recipe import read_recipe

RECIPE = """
name = "tiny"
output = "{output}"
patience_seconds = 2.0
[input]
corpus = "{corpus}"
[[pools]]
experts = ["levels", "tiny_listeners:Missing"]
workers = 2
cpus = 0.5
batch_clips = 4
[[pools]]
experts = ["tiny_listeners:Counting"]
cpus = 0.5
batch_clips = 4
[experts."tiny_listeners:Counting"]
log = "{log}"
version = "{version}"
"""
FILTERED = """
[[pools]]
experts = ["match", "tiny_listeners:Barking"]
cpus = 0.5
[experts.match]
model = "{match}"
[filter]
model = "{match}"
threshold = -1.0
[split]
test_percent = 50
[dataset]
write = true
"""


def written(folder: Path, corpus: Path, version: str = "1", *, filtered: bool = False) -> Path:
    path, text = folder / "tiny.toml", RECIPE.format(output=folder, corpus=corpus, log=folder / "log", version=version)
    if filtered:
        ours = tiny_audio_text.scorer()
        save_own(ours.model, ours._texts, folder / "match")
        text += FILTERED.format(match=folder / "match")
    path.write_text(text)
    return path


def start(recipe: Path) -> subprocess.Popen:
    """A run, which says what it has to say in files: Ray's own processes outlive pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "opendasheng", "curate", str(recipe)],
        stdout=recipe.with_name("out").open("w"),
        stderr=recipe.with_name("said").open("w"),
        env={**os.environ, "PYTHONPATH": python_path()},
        start_new_session=True,
    )


def finished(recipe: Path, status: int) -> tuple[dict[str, Record], str, str]:
    process = start(recipe)
    process.wait(timeout=450)
    out, said = (recipe.with_name(name).read_text() for name in ("out", "said"))
    assert process.returncode == status, said
    return {record.id: record for record in read_records(recipe.parent / "tiny" / "records.jsonl")}, out, said


def test_every_clip_is_told_of_and_nothing_is_heard_twice(tmp_path):
    names = [f"tone-{n}" for n in range(9)]
    corpus = write_clips(tmp_path / "clips", {"tones": names, "odd": ["fails"]})
    damage(corpus, "tone-3")
    mark = tmp_path / "tiny" / "marks" / "counting" / "tone-1"  # as two runs leave it that are killed at one clip
    mark.parent.mkdir(parents=True)
    mark.write_bytes(b"++")
    records, out, said = finished(written(tmp_path, corpus, filtered=True), 1)
    assert list(records) == ["fails", *names]
    assert records["tone-3"].dropped.step == "read"
    for clip_id, record in records.items():
        if clip_id != "tone-3":
            assert set(record.findings) == {"levels", "match", "tags", "counting"}
            assert set(record.scores) == {"template"}
            assert record.findings["levels"].values["peak_dbfs"] < 0
            assert ("samples" in record.findings["counting"].values) == clip_id.startswith("tone")
    assert records["fails"].findings["counting"].error == "ValueError: cannot hear it"
    assert "expert tiny_listeners:Missing is left out: it needs a package that nobody has" in said
    assert "10 clips = 9 kept + 1 dropped" in out
    assert "| counting | 1 | 9 | 8 | 1 |" in out
    assert "| read | 10 |" in out
    assert "cores of this machine were busy" in out
    assert "dataset: 9 clips, 0.00 hours, languages unknown." in out
    dataset = ShardReader(tmp_path / "tiny" / "dataset")
    assert {clip.id: clip.split for clip in dataset.clips} == {
        clip_id: record.split for clip_id, record in records.items() if clip_id != "tone-3"
    }

    log = tmp_path / "log"
    log.write_text("")
    newer, _, said = finished(written(tmp_path, corpus, version="2"), 1)
    assert "10 clips, 1 of them heard" in said  # it was dropped
    assert sorted(log.read_text().split()) == sorted(set(records) - {"tone-3"})
    assert newer["tone-0"].findings["counting"].version == "2"
    assert newer["tone-0"].findings["levels"] == records["tone-0"].findings["levels"]


@pytest.mark.full
def test_clips_that_end_processes_are_given_up_and_a_finished_run_hears_nothing(tmp_path):
    names = [f"tone-{n}" for n in range(9)]
    recipe = written(tmp_path, write_clips(tmp_path / "clips", {"tones": names, "odd": ["dies", "hangs"]}))
    records, _, _ = finished(recipe, 1)
    assert list(records) == ["dies", "hangs", *names]
    assert all("given up" in records[clip].findings["counting"].error for clip in ("dies", "hangs"))
    assert all(records[name].value("samples") for name in names)
    log = tmp_path / "log"
    log.write_text("")
    again, _, said = finished(recipe, 1)
    assert (again, log.read_text()) == (records, "")
    assert "11 clips, 11 of them heard" in said


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"CPU": 1.0}, "pools: a process of each takes 1.1 CPUs together, and there are 1; lower their cpus"),
        ({"CPU": 2.0}, None),
        ({}, "and there are 0"),
    ],
)
def test_pools_that_do_not_fit_are_refused(tmp_path, there, told):
    config = read_recipe(CurationConfig, written(tmp_path, tmp_path))
    ray = SimpleNamespace(cluster_resources=lambda: there)
    with pytest.raises(ConfigError, match=told) if told else nullcontext():
        pipeline._require_room(ray, config)


@pytest.mark.full
def test_killed_three_times_it_ends_with_the_same_records(tmp_path):
    ids = {"tones": [f"tone-{n}" for n in range(150)], "odd": ["fails-0", "fails-1"]}
    corpus = write_clips(tmp_path / "clips", ids)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole, _, _ = finished(written(tmp_path / "whole", corpus), 1)
    recipe = written(tmp_path / "cut", corpus)
    journal, chance = tmp_path / "cut" / "tiny" / "journal.jsonl", random.Random(0)
    lengths = []
    for _ in range(3):
        process = start(recipe)
        more = chance.randrange(5, 40) + (len(journal.read_text().splitlines()) if journal.exists() else 0)
        while process.poll() is None and (not journal.exists() or len(journal.read_text().splitlines()) < more):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        lengths.append(len(journal.read_bytes().splitlines()))
    cut, _, _ = finished(recipe, 1)
    assert cut == whole
    assert 0 < lengths[0] < lengths[1] < lengths[2] < 152
    ids_written = [json.loads(line)["id"] for line in journal.read_text().splitlines()]
    assert sorted(ids_written) == sorted(whole)

"""Steps over batches: what is heard, what is not heard again, and what becomes of clips that cannot be heard."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_listeners
from clip_corpora import write_clips

from opendasheng.curate.catalogue import EXPERTS, expert_class, make
from opendasheng.curate.config import InputConfig
from opendasheng.curate.guard import Guard
from opendasheng.curate.inputs import CorpusInput
from opendasheng.curate.pool import Listen, Read, versions
from opendasheng.curate.record import Findings, Record
from opendasheng.data.shards import decode_flac
from opendasheng.errors import ConfigError

COUNTING = "tiny_listeners:Counting"


def rows(corpus: Path, **findings: Findings) -> dict:
    records = [r.model_copy(update={"findings": findings}) for r in CorpusInput(InputConfig(str(corpus))).records()]
    return {"record": [record.to_line() for record in records]}


def listen(corpus: Path, batch: dict, marks: Path, **options: str) -> dict[str, Record]:
    heard = Listen([COUNTING], {COUNTING: options}, marks, 60.0)(Read(InputConfig(str(corpus)))(batch))
    return {record.id: record for record in map(Record.from_line, heard["record"])}


def test_clips_are_read_and_heard_and_a_clip_that_fails_is_told(clips, tmp_path):
    found = listen(clips, rows(clips), tmp_path)
    assert len(found) == 8
    for clip_id, record in found.items():
        report = record.findings["counting"]
        if "fails" in clip_id:
            assert (dict(report.values), report.error) == ({}, "ValueError: cannot hear it")
        else:
            assert report.values["samples"] == round(record.duration_seconds * 16_000)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("leaves", "SystemExit: 3"),
        ("unwilling", "KeyError: 'no wish'"),
        ("silent", "TypeError: it reports NoneType, no Findings"),
    ],
)
def test_an_expert_that_keeps_no_rule_fails_at_its_clips_alone(clips, tmp_path, how, told):
    names = ["tiny_listeners:Odd", COUNTING]
    read = Read(InputConfig(str(clips)))(rows(clips))
    heard = Listen(names, {names[0]: {"how": how}}, tmp_path, 60.0)(read)
    found = [Record.from_line(line).findings for line in heard["record"]]
    assert {findings["odd"].error for findings in found} == {told}
    assert all("counting" in findings for findings in found)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_expert_that_cannot_be_made_is_named():
    names = ["tiny_listeners:Odd", COUNTING]
    found = versions(names, {names[0]: {"how": "unmade"}})
    assert found == {names[0]: ("", "it cannot be made: RuntimeError: no such weights"), "counting": ("1", "")}


def test_a_batch_may_be_of_arrays_as_ray_gives_them(clips, tmp_path):
    read = Read(InputConfig(str(clips)))({"record": np.array(rows(clips)["record"], dtype=object)})
    assert all(len(decode_flac(flac)) for flac in read["audio"])
    heard = Listen([COUNTING], {}, tmp_path, 60.0)({key: np.array(value, dtype=object) for key, value in read.items()})
    assert len(heard["record"]) == len(heard["audio"]) == 8


def test_what_is_known_by_the_version_of_today_is_not_heard_again(clips, tmp_path):
    log = tmp_path / "log"
    known = Findings(version="1", values={"samples": 5})
    found = listen(clips, rows(clips, counting=known), tmp_path / "marks", log=str(log))
    assert not log.exists()
    assert {record.value("samples") for record in found.values()} == {5}
    newer = listen(clips, rows(clips, counting=known), tmp_path / "marks", log=str(log), version="2")
    assert sorted(log.read_text().split()) == sorted(newer)
    assert {record.findings["counting"].version for record in newer.values()} >= {"2"}


def test_a_damaged_clip_is_dropped_and_the_others_are_heard(damaged_clips, tmp_path):
    found = listen(damaged_clips, rows(damaged_clips), tmp_path)
    [dropped] = [record for record in found.values() if record.dropped]
    assert (dropped.id, dropped.dropped.step) == ("tone-1", "read")
    assert "not readable FLAC" in dropped.dropped.reason
    assert dropped.findings == {}
    assert sum("counting" in record.findings for record in found.values()) == 7


def test_a_limit_takes_of_each_source_in_turn_and_too_long_clips_are_told(clips):
    some = [r.source for r in CorpusInput(InputConfig(str(clips), limit=4)).records()]
    assert sorted(some) == ["odd", "odd", "tones", "tones"]
    few = {r.id for r in CorpusInput(InputConfig(str(clips), limit=2)).records()}
    assert few < {r.id for r in CorpusInput(InputConfig(str(clips), limit=4)).records()}
    long = [r for r in CorpusInput(InputConfig(str(clips), longest_seconds=0.55)).records() if r.dropped]
    assert long
    assert all(r.duration_seconds > 0.55 and "longest_seconds" in r.dropped.reason for r in long)


@pytest.mark.parametrize(("clip_id", "status"), [("dies", 7), ("hangs", 1)])
def test_after_two_deaths_a_clip_is_given_up(tmp_path, clip_id, status):
    """A process that hears the clip dies of it; a third one does not try."""
    corpus = write_clips(tmp_path / "clips", {"tones": ["tone-0", clip_id, "tone-1"]})
    command = [sys.executable, tiny_listeners.__file__, str(corpus), str(tmp_path / "marks"), "2"]
    ended = [subprocess.run(command, capture_output=True, text=True) for _ in range(3)]
    assert [process.returncode for process in ended] == [status, status, 0], ended[-1].stderr
    records = {record.id: record for record in map(Record.from_line, ended[2].stdout.splitlines())}
    assert "given up" in records[clip_id].findings["counting"].error
    assert all(records[name].value("samples") for name in ("tone-0", "tone-1"))


def test_a_mark_counts_while_a_clip_is_heard(tmp_path):
    guard = Guard(tmp_path, 60.0)

    def fail() -> None:
        with guard.hearing("tags", "a"):
            assert guard.num_deaths("tags", "a") == 1
            raise KeyError

    assert guard.num_deaths("tags", "a") == 0
    with pytest.raises(KeyError):
        fail()
    assert guard.num_deaths("tags", "a") == 0


def test_experts_are_named_with_what_they_need():
    assert {expert_class(name).name for name in EXPERTS} == set(EXPERTS)
    found = versions(["levels", COUNTING, "tiny_listeners:Missing", "tags"], {COUNTING: {"version": "7"}})
    assert found["counting"] == ("7", "")
    assert found["levels"][1] == ""
    assert found["tiny_listeners:Missing"] == ("", "it needs a package that nobody has")
    assert found["tags"] == ("", "experts.tags.model is not set, and the expert needs it")


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("ears", {}, "there is no expert 'ears'; there are levels, "),
        ("no_such_module:Ears", {}, "expert no_such_module:Ears: No module named"),
        ("tiny_listeners:Ears", {}, "has no attribute 'Ears'"),
        ("tiny_listeners:Findings", {}, "this is no class of"),
        ("levels", {"size": "1"}, "experts.levels: no option 'size'; it has none"),
        (COUNTING, {"size": "1"}, "no option 'size'; there are log, version"),
    ],
)
def test_an_expert_that_cannot_be_made_is_refused(name, options, told):
    with pytest.raises(ConfigError, match=told):
        make(name, options)

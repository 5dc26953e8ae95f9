"""Building: decoding, what is left out and why, resuming, replacing, and the command around it."""

import argparse
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny_packages as packages

from opendasheng.corpora import build, command, registry
from opendasheng.corpora.debian import Package, PackageStore
from opendasheng.corpora.recipe import Draft, Recipe
from opendasheng.data.shards import ShardReader, read_index
from opendasheng.errors import CorpusError


def sounds(made: Mapping[str, Package]) -> Iterator[Draft]:
    for path, audio in made["p"].read(lambda path: path.endswith(".wav")).items():
        yield Draft(id=path[:-4], audio=audio, split="train", kind="sound", origin=path, labels=("tone",))


RECIPE = Recipe("tones", ("p",), "CC0-1.0", "tones", sounds)


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    packages.package(tmp_path / "debs", "p", {f"{name}.wav": packages.tone(200 + 9 * name) for name in range(5)})
    return PackageStore(tmp_path / "cache", tmp_path / "debs")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_drafts_become_clips_with_what_the_recipe_knows(tmp_path: Path, store: PackageStore) -> None:
    (outcome,) = build.build([RECIPE], tmp_path / "out", store)
    assert (outcome.built, outcome.num_clips) == (True, 5)
    assert outcome.hours == pytest.approx(2.5 / 3600)
    reader = ShardReader(tmp_path / "out")
    clip = reader.clips[0]
    assert (clip.id, clip.source, clip.licence, clip.duration_seconds) == ("0", "p", "CC0-1.0", 0.5)
    assert reader.audio(0).shape == (8000,)
    info = read_index(tmp_path / "out" / "tones")["info"]
    assert info["packages"]["p"] == {"version": "1.0-1", "sha256": store.get("p").sha256}


def test_the_same_packages_give_the_same_bytes_on_any_number_of_threads(tmp_path: Path, store: PackageStore) -> None:
    build.build([RECIPE], tmp_path / "one", store)
    build.build([RECIPE], tmp_path / "two", store, num_jobs=3)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_finished_source_is_kept(tmp_path: Path, store: PackageStore) -> None:
    build.build([RECIPE], tmp_path, store)
    shard = tmp_path / "tones" / "shard-00000.tar"
    os.utime(shard, (1, 1))
    (outcome,) = build.build([RECIPE], tmp_path, store)
    assert (outcome.built, outcome.num_clips, shard.stat().st_mtime) == (False, 5, 1)
    (outcome,) = build.build([RECIPE], tmp_path, store, force=True)
    assert outcome.built
    assert shard.stat().st_mtime > 1


def test_a_damaged_source_is_built_again(tmp_path: Path, store: PackageStore) -> None:
    build.build([RECIPE], tmp_path, store)
    before = content(tmp_path / "tones")
    (tmp_path / "tones" / "shard-00000.tar").write_bytes(b"damage")
    (outcome,) = build.build([RECIPE], tmp_path, store)
    assert outcome.built
    assert content(tmp_path / "tones") == before


def test_the_work_of_another_recipe_is_replaced_only_by_force(tmp_path: Path, store: PackageStore) -> None:
    build.build([RECIPE], tmp_path / "out", store)
    store.get("p").path.unlink()
    packages.package(tmp_path / "debs", "p", {"new.wav": packages.tone(999)}, version="2")
    with pytest.raises(CorpusError, match="--force"):
        build.build([RECIPE], tmp_path / "out", store)
    assert len(ShardReader(tmp_path / "out")) == 5
    build.build([RECIPE], tmp_path / "out", store, force=True)
    assert len(ShardReader(tmp_path / "out")) == 1


KILLED = """
import sys, time
sys.path[:0] = {path!r}
import test_build
from opendasheng.corpora import build
from opendasheng.corpora.debian import PackageStore
from opendasheng.data import shards
from pathlib import Path
original = shards.ShardWriter.add
def slow(self, clip, audio):
    original(self, clip, audio)
    self._close_shard()
    print(clip.id, flush=True)
    time.sleep(0.05 if clip.id != "2" else 60)
shards.ShardWriter.add = slow
build.build([test_build.RECIPE], Path({output!r}), PackageStore(Path({cache!r}), Path({debs!r})))
"""


def test_a_killed_build_is_not_taken_for_finished_and_can_be_repeated(tmp_path: Path, store: PackageStore) -> None:
    build.build([RECIPE], tmp_path / "whole", store)
    output = tmp_path / "killed"
    here = Path(__file__).parent
    script = KILLED.format(
        path=[str(here), str(here.parent)], output=str(output), cache=str(store.cache), debs=str(store.packages)
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "2":
                break
        process.send_signal(signal.SIGKILL)
    assert sorted(content(output / "tones")) == ["shard-00000.tar", "shard-00001.tar", "shard-00002.tar"]
    with pytest.raises(CorpusError, match="no built source"):
        ShardReader(output)
    (outcome,) = build.build([RECIPE], output, store)
    assert outcome.built
    assert content(output) == content(tmp_path / "whole")


def draft(name: str, audio: bytes, **changes: object) -> Draft:
    fields: dict[str, object] = {"split": "train", "kind": "sound", "origin": name}
    return Draft(id=name, audio=audio, **(fields | changes))  # type: ignore[arg-type]


def test_what_cannot_be_used_is_counted_by_reason() -> None:
    drafts = [
        draft("good", packages.tone(300)),
        draft("again", packages.tone(300)),
        draft("short", packages.tone(301, 0.1)),
        draft("long", packages.tone(302, 31)),
        draft("silent", packages.tone(0)),
        draft("broken", b"not audio"),
        draft("fast", packages.tone(303), transcript="x" * 30),
        draft("faster", packages.tone(305), transcript="x" * 16, max_characters_per_second=30.0),
        draft("spoken", packages.tone(304), transcript="hello"),
    ]
    left_out: Counter[str] = Counter()
    found = [clip.id for clip, _ in build.clips(RECIPE, drafts, left_out)]
    assert found == ["good", "spoken"]
    assert left_out == {
        "same file as another clip": 1,
        "shorter than 0.2 s": 1,
        "longer than 30 s": 1,
        "silent": 1,
        "not decodable": 1,
        "transcript too long for the audio": 2,
    }


def test_long_recordings_become_excerpts() -> None:
    drafts = [
        draft("whole", packages.tone(300, 9.5), excerpt_above_seconds=10.0),
        draft("track", packages.tone(300, 25.0), excerpt_above_seconds=10.0),
    ]
    found = [(clip.id, clip.duration_seconds) for clip, _ in build.clips(RECIPE, drafts, Counter())]
    assert found == [("whole", 9.5), ("track-00", 10.0), ("track-01", 10.0)]


def test_excerpts_are_spread_and_do_not_overlap() -> None:
    audio = np.arange(47 * 160_000 + 5, dtype=np.float32)
    found = build.excerpts(audio)
    assert [suffix for suffix, _ in found] == [f"-{number:02d}" for number in range(12)]
    starts = [int(piece[0]) for _, piece in found]
    assert starts[0] == 0
    assert starts[-1] > 0.85 * len(audio)
    assert min(np.diff(starts)) >= 160_000
    assert {len(piece) for _, piece in found} == {160_000}


def test_a_source_without_clips_is_an_error_and_leaves_no_index(tmp_path: Path) -> None:
    packages.package(tmp_path / "debs", "p", {"a.wav": packages.tone(300, 0.05)})
    with pytest.raises(CorpusError, match="no clip is left"):
        build.build([RECIPE], tmp_path / "out", PackageStore(tmp_path, tmp_path / "debs"))
    assert not (tmp_path / "out" / "tones" / "index.json").exists()


def test_every_recipe_is_registered_once_with_files_that_exist() -> None:
    room = Path(build.__file__).parent
    for name, recipe in registry.RECIPES.items():
        assert recipe.name == name
        assert recipe.packages
        assert all((room / file).is_file() for file in recipe.files), name
    with pytest.raises(CorpusError, match="'nothing'"):
        registry.choose(["nothing"])


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    arguments = parser.parse_args(words)
    status = arguments.run(arguments)
    assert isinstance(status, int)
    return status


def test_the_command_builds_verifies_and_reports(
    tmp_path: Path, store: PackageStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "RECIPES", {"tones": RECIPE})
    output = str(tmp_path / "out")
    assert run("build", "tones", "--output", output, "--packages", str(tmp_path / "debs"), "--jobs", "2") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "tones: built, 5 clips" in said.err
    assert run("build", "--output", output, "--packages", str(tmp_path / "debs")) == 0
    assert "already complete" in capsys.readouterr().err
    assert run("verify", output) == 0
    assert "1 shards with 5 clips are intact" in capsys.readouterr().out
    assert run("report", output) == 0
    assert "sound  -      train" in capsys.readouterr().out
    assert run("list") == 0
    assert "tones  tones [p; CC0-1.0]" in capsys.readouterr().out
    (tmp_path / "out" / "tones" / "shard-00000.tar").unlink()
    with pytest.raises(CorpusError, match="missing"):
        run("verify", output)


def test_wrong_usage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["build"], ["build", "--output", "x", "--jobs", "0"], []):
        with pytest.raises(SystemExit) as stop:
            run(*words)
        assert stop.value.code == 2
    assert "--jobs" in capsys.readouterr().err

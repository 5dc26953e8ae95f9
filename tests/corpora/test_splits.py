"""The manifest holds the split of every bundled source, and a clip that moved is told."""

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from opendasheng.cli import main
from opendasheng.corpora import splits
from opendasheng.corpora.registry import RECIPES
from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardWriter

CLIPS = [
    Clip(f"c{i}", "p", "CC0-1.0", ("train", "train", "dev", "test")[i % 4], "speech", 1.0, speaker=f"s{i % 3}")
    for i in range(12)
]


def test_the_manifest_is_of_all_sources_and_test_sources_are_only_for_tests() -> None:
    assert set(splits.manifest()) == set(RECIPES)
    for name, recipe in RECIPES.items():
        if "test only" in recipe.summary:
            assert set(splits.manifest()[name]) == {"test"}


def test_order_does_not_matter_and_a_moved_clip_does() -> None:
    assert splits.parts(CLIPS) == splits.parts(CLIPS[::-1])
    found = splits.parts(CLIPS)
    assert {split: part.clips for split, part in found.items()} == {"dev": 3, "test": 3, "train": 6}
    moved = splits.parts([replace(CLIPS[0], split="test"), *CLIPS[1:]])
    assert moved["dev"] == found["dev"]
    assert moved["test"] != found["test"]
    assert moved["train"] != found["train"]


def test_what_is_written_reads_the_same() -> None:
    found = {"p": splits.parts(CLIPS)}
    again = tomllib.loads(splits.to_toml(found))
    assert {split: splits.Part(**values) for split, values in again["p"].items()} == found["p"]


def test_verify_tells_a_source_whose_splits_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ShardWriter(tmp_path / "p", source="p", fingerprint="1") as writer:
        for clip in CLIPS:
            writer.add(clip, np.zeros(16_000, dtype=np.float32))
    assert main(["corpus", "verify", str(tmp_path)]) == 0  # a source of one's own
    monkeypatch.setattr(splits, "manifest", lambda: {"p": splits.parts(CLIPS)})
    assert main(["corpus", "verify", str(tmp_path)]) == 0
    monkeypatch.setattr(splits, "manifest", lambda: {"p": splits.parts([replace(CLIPS[0], split="dev"), *CLIPS[1:]])})
    assert main(["corpus", "verify", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "p: train has 6 clips of 3 speakers" in told
    assert "the manifest 5 clips" in told
    assert main(["corpus", "verify", str(tmp_path / "p")]) == 1  # the source alone
    capsys.readouterr()
    assert main(["corpus", "splits", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith(splits.to_toml({"p": splits.parts(CLIPS)}))


def test_verify_tells_a_source_that_is_there_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ShardWriter(tmp_path / "p", source="p", fingerprint="1") as writer:
        writer.add(CLIPS[0], np.zeros(16_000, dtype=np.float32))
    shutil.copytree(tmp_path / "p", tmp_path / "p-copy")
    assert main(["corpus", "verify", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert f"clip 'c0' is in {tmp_path / 'p'} and in {tmp_path / 'p-copy'}" in said.err
    assert "intact" not in said.out


def test_a_folder_that_is_no_corpus_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "splits", str(tmp_path)]) != 0
    assert f"{tmp_path} holds no built source" in capsys.readouterr().err

"""An index is read to the rows that were written, or refused by an error of ours that names the file and the value."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.test_schema import INDEX as SCHEMA
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.data.clip import Clip, Question
from opendasheng.data.shards import ShardReader, ShardWriter, is_complete, read_index
from opendasheng.errors import CorpusError


def num_samples(number: int) -> int:
    return 4000 + 160 * number


def a_clip(number: int) -> Clip:
    return Clip(
        id=f"c{number}",
        source="package",
        licence="CC0-1.0",
        split=("train", "dev", "test")[number % 3],
        kind="speech",
        duration_seconds=num_samples(number) / 16_000,
        language="en",
        transcript=f"word {number}",
        labels=("x",),
        captions=("y", "z"),
        questions=(Question("Which?", "One."),),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "s"
    with ShardWriter(folder, source="s", fingerprint="f", max_shard_bytes=20_000) as writer:
        for number in range(6):
            noise = np.random.default_rng(number).standard_normal(num_samples(number)) * 0.1
            writer.add(a_clip(number), noise.astype(np.float32))
    assert 1 < len(list(folder.glob("*.tar"))) < 6
    return folder


@pytest.fixture(scope="module")
def scratch(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose index every example overwrites."""
    return Path(shutil.copytree(written, tmp_path_factory.mktemp("scratch") / "s"))


def rows(folder: Path) -> list[tuple[Clip, bytes]]:
    reader = ShardReader(folder)
    return [(clip, reader.flac(number)) for number, clip in enumerate(reader.clips)]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to every value inside ``value``."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inside for place in [(*path, key), *places(item, (*path, key))]]


NUMBERS = [0, 1, -1, -5, 2, 511, 512, 1.0, 0.5, 10**20, float("nan"), True]
NAMES = ["../shard-00000.tar", "/etc/passwd", "shard-00000.tar", "shard-00001.tar", "shard-00009.tar", "shard-0.tar"]
HOSTILE = st.sampled_from([*NUMBERS, *NAMES, None, "", "x", "c0", "0" * 64, "\ud800", [], [1], {}])


@st.composite
def changes(draw: st.DrawFn) -> Any:
    """What is done to one value of an index, as a function of the index."""
    pick, other = draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))
    how = draw(st.sampled_from(["replace", "remove", "add", "shift", "double", "swap"]))
    value, step = draw(HOSTILE), draw(st.integers(-1024, 1024))

    def change(index: Any) -> None:
        found = places(index)
        *path, key = found[pick % len(found)]
        holder = index
        for name in path:
            holder = holder[name]
        if how == "shift" and type(holder[key]) in (int, float):
            holder[key] += step
        elif how == "remove":
            del holder[key]
        elif how == "add" and isinstance(holder, dict):
            holder["other"] = value
        elif how == "double" and isinstance(holder, list):
            holder.insert(other % (len(holder) + 1), copy.deepcopy(holder[key]))
        elif how == "swap" and isinstance(holder, list):
            there = other % len(holder)
            holder[key], holder[there] = holder[there], holder[key]
        else:
            holder[key] = value

    return change


def refusal(read: Callable[[Path], object], folder: Path) -> str:
    """What ``read`` says against ``folder``; empty where it takes it."""
    try:
        read(folder)
    except CorpusError as error:
        return str(error)
    return ""


def verify(folder: Path) -> None:
    ShardReader(folder).verify()


@settings(max_examples=400, deadline=None)
@given(st.lists(changes(), min_size=1, max_size=2))
def test_a_changed_index_is_read_to_the_same_rows_or_refused(written: Path, scratch: Path, made: list[Any]) -> None:
    index = json.loads((written / "index.json").read_text())
    for change in made:
        change(index)
    (scratch / "index.json").write_text(json.dumps(index))
    said = refusal(read_index, scratch)
    if said:
        assert str(scratch / "index.json") in said
        assert "\n" not in said
        assert not is_complete(scratch, "f")
        return
    assert SCHEMA.is_valid(index)
    said = refusal(verify, scratch)
    assert "shard-0" in said if said else rows(scratch) == rows(written)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.binary(max_size=3), st.integers(0, 50))
def test_damaged_bytes_are_read_to_the_same_rows_or_refused(
    written: Path, scratch: Path, place: int, inserted: bytes, num_lost: int
) -> None:
    content = (written / "index.json").read_bytes()
    place %= len(content)
    (scratch / "index.json").write_bytes(content[:place] + inserted + content[place + num_lost :])
    said = refusal(verify, scratch)
    assert str(scratch) in said if said else rows(scratch) == rows(written)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("shards", 0, "name"), "../s/shard-00000.tar", r"shards\[0\]: name is '\.\./s/shard-00000\.tar'"),
        (("shards", 1, "name"), "/etc/passwd", r"shards\[1\]: name is '/etc/passwd'; it is 'shard-00001\.tar'"),
        (("shards", 0, "bytes"), "many", r"shards\[0\]: bytes is 'many'; it is of type int"),
        (("shards", 0, "num_clips"), 99, r"shards\[0\] \(shard-00000\.tar\): num_clips is 99; it is \d, that of its"),
        (("shards", 0, "sha256"), "0", r"shards\[0\]: sha256 is '0'"),
        (("clips", 0, "offset"), -5, r"clips\[0\] \(shard-00000\.tar\): offset is -5"),
        (("clips", 1, "offset"), 512, r"clips\[1\] \(shard-00000\.tar\): offset is 512; it is .* at least \d+, where"),
        (("clips", 0, "offset"), 513, r"offset is 513; it is a multiple of 512"),
        (("clips", 0, "offset"), 2**40, r"clips\[0\] .*: size is \d+; it is 1 or more"),
        (("clips", 0, "size"), 10**9, r"clips\[0\] \(shard-00000\.tar\): size is 1000000000; it is 1 or more, and at"),
        (("clips", 0, "shard"), 7, r"clips\[0\]: shard is 7; it is from 0 to"),
        (("clips", 0, "shard"), True, r"clips\[0\]: shard is True; it is of type int"),
        (("clips", 5, "shard"), 0, r"clips\[5\]: shard is 0; it is from 1"),
        (("clips", 0, "split"), "valid", r"clips\[0\] \(shard-00000\.tar\): clip 'c0': split cannot be 'valid'"),
        (("clips", 3, "id"), "c0", r"clips\[3\].*: id is 'c0'; it is given once"),
        (("clips", 0), "c0", r"clips\[0\] is 'c0'; it is an object"),
        (("clips",), {}, r"clips is \{\}; it is of type list"),
        (("info",), "x" * 500, r"info is 'x{76}\.\.\.; it is of type dict"),
        (("extra",), 1, "unknown key 'extra'"),
    ],
)
def test_what_cannot_be_is_named(written: Path, scratch: Path, path: tuple[Any, ...], value: Any, message: str) -> None:
    index = json.loads((written / "index.json").read_text())
    holder = index
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    (scratch / "index.json").write_text(json.dumps(index))
    with pytest.raises(CorpusError, match=rf"index\.json is damaged: .*{message}"):
        ShardReader(scratch)


@pytest.mark.parametrize("key", ["source", "fingerprint", "info", "shards", "clips"])
def test_a_missing_key_is_named(written: Path, scratch: Path, key: str) -> None:
    index = json.loads((written / "index.json").read_text())
    del index[key]
    (scratch / "index.json").write_text(json.dumps(index))
    with pytest.raises(CorpusError, match=rf"index\.json is damaged: the index has no '{key}'"):
        ShardReader(scratch)


def test_what_is_nested_without_end_is_refused(scratch: Path) -> None:
    (scratch / "index.json").write_text("[" * 100_000)
    with pytest.raises(CorpusError, match=r"index\.json is not JSON"):
        read_index(scratch)


def test_verify_compares_the_clips_of_the_index_with_those_of_the_tar(written: Path, scratch: Path) -> None:
    for key, value, message in (
        ("transcript", "something else", r"clip c1 of .*shard-00000\.tar: the JSON beside it"),
        ("size", 100, r"shard-00000\.tar has \('c1\.flac', \d+, \d+\), the index says \('c1\.flac', \d+, 100\)"),
    ):
        index = json.loads((written / "index.json").read_text())
        index["clips"][1][key] = value
        (scratch / "index.json").write_text(json.dumps(index))
        with pytest.raises(CorpusError, match=message):
            ShardReader(scratch).verify()

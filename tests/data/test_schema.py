"""The schema of shards says of an index, and of the JSON beside a clip, what reader and writer say."""

import json
import tarfile
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from data.test_clip import clips
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from opendasheng.data.clip import Clip, Question
from opendasheng.data.shards import ShardReader, ShardWriter
from opendasheng.errors import CorpusError

SCHEMA = json.loads(files("opendasheng.data").joinpath("shards.schema.json").read_text(encoding="utf-8"))
INDEX = Draft202012Validator(SCHEMA)
MEMBER = Draft202012Validator({"$ref": "#/$defs/member", "$defs": SCHEMA["$defs"]})
FULL = Clip(
    id="a",
    source="s",
    licence="CC0-1.0",
    split="dev",
    kind="speech",
    duration_seconds=1.0,
    language="en",
    gender="male",
    transcript="one",
    translation="one",
    labels=("x",),
    captions=("y",),
    questions=(Question("Which?", "One."),),
)


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


def test_it_describes_every_field():
    assert set(SCHEMA["$defs"]["clip"]["properties"]) == set(FULL.to_dict())


def test_what_is_written_fits_it(tmp_path):
    with ShardWriter(tmp_path, source="s", fingerprint="f") as writer:
        writer.add(FULL, np.zeros(1600, dtype=np.float32))
    INDEX.validate(json.loads((tmp_path / "index.json").read_text()))
    with tarfile.open(tmp_path / "shard-00000.tar") as tar:
        MEMBER.validate(json.load(tar.extractfile("a.json")))


@settings(max_examples=40)
@given(st.lists(clips, max_size=6, unique_by=lambda clip: clip.id), st.integers(1, 20_000))
def test_whatever_is_written_fits_it_and_is_read_again(written, max_shard_bytes):
    with TemporaryDirectory() as name:
        folder = Path(name)
        with ShardWriter(folder, source="s", fingerprint="f", max_shard_bytes=max_shard_bytes) as writer:
            for clip in written:
                writer.add(clip, np.zeros(1600, dtype=np.float32))
        INDEX.validate(json.loads((folder / "index.json").read_text(encoding="utf-8")))
        members = {}
        for path in folder.glob("*.tar"):
            with tarfile.open(path) as tar:
                members |= {m.name: json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")}
        for member in members.values():
            MEMBER.validate(member)
        assert members == {f"{clip.id}.json": clip.to_dict() for clip in ShardReader(folder).clips}
        assert ShardReader(folder).clips == written


texts = [None, "", " ", "x", "xx", "xx\n", "EN", "a/b", "a\n", "a" * 95, "a" * 96, "train", "\x1c", "\xa0"]
numbers = [0, -1, 1, 1.5, 86400, 86400.5, 10**400, True]
lists = [[], [""], ["x"], {}, [{}], [{"prompt": "", "answer": "x"}], [{"prompt": "x", "answer": " "}]]
wrong = st.sampled_from([*texts, *numbers, *lists])


@settings(max_examples=400)
@given(st.sampled_from([*FULL.to_dict(), "other"]), wrong)
def test_it_takes_what_a_clip_takes(field: str, value: Any):
    fields = FULL.to_dict() | {field: value}
    try:
        Clip.from_dict(fields)
    except CorpusError:
        taken = False
    else:
        taken = True
    assert MEMBER.is_valid(fields) == taken


@pytest.mark.parametrize("key", ["id", "source", "licence", "split", "kind", "duration_seconds"])
def test_what_is_required_is_required(key):
    fields = {name: value for name, value in FULL.to_dict().items() if name != key}
    assert not MEMBER.is_valid(fields)
    with pytest.raises(CorpusError):
        Clip.from_dict(fields)


def test_an_index_with_other_keys_is_none(tmp_path):
    with ShardWriter(tmp_path, source="s", fingerprint="f") as writer:
        writer.add(FULL, np.zeros(1600, dtype=np.float32))
    index = json.loads((tmp_path / "index.json").read_text())
    for change in ({"format": 2}, {"more": 1}, {"shards": [{}]}, {"clips": [index["clips"][0] | {"more": 1}]}):
        assert not INDEX.is_valid(index | change)

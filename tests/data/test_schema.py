"""The schema of shards says of an index, and of the JSON beside a clip, what reader and writer say."""

import json
import tarfile
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from data.test_clip import clips
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from opendasheng.data.clip import Clip, Question
from opendasheng.data.shards import ShardWriter
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


@given(clips)
def test_any_clip_fits_it(clip):
    MEMBER.validate(json.loads(clip.to_json()))


wrong = st.sampled_from([None, "", " ", "x", "xx", "EN", "a/b", 0, -1, 1.5, True, [], [""], ["x"], {}, [{}], "train"])


@settings(max_examples=300)
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

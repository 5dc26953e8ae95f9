"""A folder of audio files: every sample comes out once, in clips that are not too long, and broken files are told."""

import re

import numpy as np
import pytest
from sounds import ENCODINGS, encoded
from tiny_releases import sound

from opendasheng.audio import load_audio
from opendasheng.curate.config import InputConfig
from opendasheng.curate.pool import Read
from opendasheng.curate.record import Record
from opendasheng.curate.recordings import RecordingsInput
from opendasheng.data.shards import decode_flac
from opendasheng.errors import CorpusError


def config(folder, **options) -> InputConfig:
    return InputConfig(**{"audio": str(folder), "licence": "CC0-1.0", **options})


def records(folder, **options) -> list[Record]:
    found = list(RecordingsInput(config(folder, **options)).records())
    assert len({record.id for record in found}) == len(found)
    return found


@pytest.mark.parametrize(
    ("seconds", "most", "num"), [(0.5, 10, 1), (10, 10, 1), (10.1, 10, 2), (25, 10, 3), (3, 0.7, 5)]
)
def test_clips_are_alike_and_together_they_are_the_recording(tmp_path, seconds, most, num):
    (tmp_path / "a.flac").write_bytes(sound(seconds))
    found = records(tmp_path, clip_seconds=float(most))
    assert len(found) == num
    assert all(record.duration_seconds <= most for record in found)
    assert max(r.duration_seconds for r in found) - min(r.duration_seconds for r in found) < 0.001
    assert [r.span.start_seconds for r in found] == [0.0, *(r.span.end_seconds for r in found[:-1])]
    assert found[-1].span.end_seconds == pytest.approx(seconds)
    clips = RecordingsInput(config(tmp_path))
    audio = [decode_flac(clips.flac(record.id)) for record in found]
    np.testing.assert_array_equal(np.concatenate(audio), load_audio(tmp_path / "a.flac"))


@pytest.mark.parametrize(("container", "subtype"), ENCODINGS)
def test_a_clip_is_as_long_as_its_audio_in_any_encoding(tmp_path, container, subtype):
    suffix = {"WAVEX": "wav", "RF64": "wav", "W64": "wav", "AIFF": "aiff"}.get(container, container.lower())
    (tmp_path / f"a.{suffix}").write_bytes(encoded(container, subtype, 48_000, 2))
    rows = Read(config(tmp_path))({"record": [record.to_line() for record in records(tmp_path, clip_seconds=0.6)]})
    read = [Record.from_line(line) for line in rows["record"]]
    assert len(read) == 2
    assert not any(record.dropped for record in read)
    lengths = [len(decode_flac(flac)) for flac in rows["audio"]]
    assert [record.duration_seconds for record in read] == pytest.approx([n / 16_000 for n in lengths], abs=0.001)
    assert sum(lengths) == len(load_audio(tmp_path / f"a.{suffix}"))


def test_a_clip_says_where_it_is_from(tmp_path):
    folder = tmp_path / "mine"
    names = ("a b!.flac", "a_b_.flac", "walks/a b!.flac", "walks/deep/x.FLAC", "walks/.hidden.flac", "walks/notes.txt")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(sound(1.0))
    found = records(folder, licence="CC-BY-4.0")
    assert [(r.source, r.origin) for r in found] == [
        *(("mine", name) for name in names[:2]),
        *(("walks", name) for name in names[2:4]),
    ]
    assert all(r.recording == r.origin and r.licence == "CC-BY-4.0" for r in found)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+-[0-9a-f]{16}-0001-0001", r.id) for r in found)
    assert {r.source for r in records(folder, limit=2)} == {"mine", "walks"}


def test_clips_of_one_recording_share_its_name_and_others_do_not(tmp_path):
    for name in ("a", "b" * 200):
        (tmp_path / f"{name}.flac").write_bytes(sound(3.0))
    found = records(tmp_path, clip_seconds=1.0)
    assert [len({r.recording for r in found[n : n + 3]}) for n in (0, 3)] == [1, 1]
    assert len({r.recording for r in found}) == 2


def test_a_broken_file_is_dropped_and_the_rest_goes_on(tmp_path):
    whole = sound(2.0)
    for name, data in (("a", whole), ("empty", b""), ("no", b"nothing"), ("torn", whole[:-2000]), ("z", whole)):
        (tmp_path / f"{name}.flac").write_bytes(data)
    found = {record.origin: record for record in records(tmp_path)}
    assert {name for name, record in found.items() if record.dropped} == {"empty.flac", "no.flac"}
    assert "0 bytes" in found["empty.flac"].dropped.reason
    lines = [record.to_line() for record in found.values() if record.dropped is None]
    read = {r.origin: r for r in map(Record.from_line, Read(config(tmp_path))({"record": lines})["record"])}
    assert {name for name, record in read.items() if record.dropped} == {"torn.flac"}
    assert read["torn.flac"].dropped.step == "read"


def test_what_is_longer_than_it_may_be_is_told(tmp_path):
    (tmp_path / "a.flac").write_bytes(sound(3.0))
    [record] = records(tmp_path, longest_seconds=2.0)
    assert "3.0 s are more than the 2 s of input.longest_seconds" in record.dropped.reason


def test_what_is_not_there_is_told(tmp_path):
    for told, folder in (("no such folder", tmp_path / "x"), ("holds no audio file", tmp_path)):
        with pytest.raises(CorpusError, match=told):
            RecordingsInput(config(folder))
    (tmp_path / "a.flac").write_bytes(sound(1.0))
    [record] = records(tmp_path)
    (tmp_path / "a.flac").rename(tmp_path / "b.flac")
    for clip_id in (record.id, "no-clip-0", "../b"):
        with pytest.raises(CorpusError, match="has its recording no more"):
            RecordingsInput(config(tmp_path)).flac(clip_id)

"""Shards: what is written comes back, the same bytes every time; damage and half-written folders are seen."""

import io
import json
import multiprocessing
import pickle
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from opendasheng.data import shards
from opendasheng.data.clip import Clip
from opendasheng.data.shards import Audio, ShardReader, ShardWriter, is_complete
from opendasheng.errors import CorpusError


def a_clip(name: str, seconds: float = 0.5, **changes: object) -> Clip:
    fields = {
        "id": name,
        "source": "package",
        "licence": "CC0-1.0",
        "split": "train",
        "kind": "sound",
        "duration_seconds": seconds,
        "labels": ["dog"],
    }
    return Clip.from_dict(fields | changes)


def some_audio(seed: int, num_samples: int = 8000) -> Audio:
    noise = np.random.default_rng(seed).standard_normal(num_samples) * 0.1
    return noise.astype(np.float32)


def write(folder: Path, num_clips: int = 7, *, max_shard_bytes: int = 40_000, **changes: object) -> None:
    with ShardWriter(folder, source="s", fingerprint="f", max_shard_bytes=max_shard_bytes) as writer:
        for number in range(num_clips):
            writer.add(a_clip(f"{folder.name}-{number}", **changes), some_audio(number))


def test_clips_and_audio_come_back(tmp_path: Path) -> None:
    write(tmp_path / "s")
    reader = ShardReader(tmp_path)
    assert len(list((tmp_path / "s").glob("*.tar"))) > 1
    assert [clip.id for clip in reader.clips] == [f"s-{number}" for number in range(7)]
    for number in (6, 0, 3):
        audio = reader.audio(number)
        assert audio.dtype == np.float32
        np.testing.assert_allclose(audio, some_audio(number), atol=0.5 / 32768 + 1e-7)


def test_audio_beyond_full_scale_is_limited_not_wrapped() -> None:
    audio = shards.decode_flac(shards.encode_flac(np.array([1.5, -1.5, 0.25, 1.0] * 100, dtype=np.float32)))
    np.testing.assert_allclose(audio[:4], [32767 / 32768, -1.0, 0.25, 32767 / 32768])


def test_decode_after_encode_is_exact_for_16_bit_audio() -> None:
    pcm = np.random.default_rng(0).integers(-32768, 32768, 4000).astype(np.float32) / 32768
    np.testing.assert_array_equal(shards.decode_flac(shards.encode_flac(pcm)), pcm)


def test_the_same_clips_give_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a" / "s")
    write(tmp_path / "b" / "s")
    names = sorted(path.name for path in (tmp_path / "a" / "s").iterdir())
    assert names[0] == "index.json"
    for name in names:
        assert (tmp_path / "a" / "s" / name).read_bytes() == (tmp_path / "b" / "s" / name).read_bytes()


def test_shards_are_plain_webdataset_tars(tmp_path: Path) -> None:
    write(tmp_path / "s")
    found: dict[str, list[str]] = {}
    for path in sorted((tmp_path / "s").glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
                key, extension = member.name.split(".")
                found.setdefault(key, []).append(extension)
                file = archive.extractfile(member)
                assert file is not None
                content = file.read()
                if extension == "json":
                    assert Clip.from_json(content).id == key
                else:
                    info = soundfile.info(io.BytesIO(content))
                    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert list(found.values()) == [["flac", "json"]] * 7


def test_flac_is_found_by_its_offset(tmp_path: Path) -> None:
    write(tmp_path / "s")
    flac = ShardReader(tmp_path / "s").flac(5)
    assert flac[:4] == b"fLaC"
    assert flac == shards.encode_flac(some_audio(5))


def test_flac_of_another_shard_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "s")
    reader = ShardReader(tmp_path / "s")
    with ShardWriter(tmp_path / "t", source="s", fingerprint="f", max_shard_bytes=40_000) as writer:
        for place, clip in enumerate(reader.clips):
            writer.add_flac(clip, reader.flac(place))
        for flac, told in ((b"no FLAC", "not readable FLAC"), (shards.encode_flac(some_audio(0, 4000)), r"0\.25")):
            with pytest.raises(CorpusError, match=rf"clip another: .*{told}"):
                writer.add_flac(a_clip("another"), flac)
    for path in (tmp_path / "s").iterdir():
        assert (tmp_path / "t" / path.name).read_bytes() == path.read_bytes()


def test_clips_are_filtered_by_split_kind_and_source(tmp_path: Path) -> None:
    write(tmp_path / "a", 2)
    write(tmp_path / "b", 3, split="test", kind="music")
    assert len(ShardReader(tmp_path)) == 5
    assert len(ShardReader(tmp_path, split="test")) == 3
    assert len(ShardReader(tmp_path, split=["train", "dev"])) == 2
    assert len(ShardReader(tmp_path, kind="music", split="train")) == 0
    chosen = ShardReader(tmp_path, source=["b"])
    assert {clip.id.split("-")[0] for clip in chosen.clips} == {"b"}
    assert chosen.flac(0) == shards.encode_flac(some_audio(0))
    with pytest.raises(CorpusError, match="'c'"):
        ShardReader(tmp_path, source="c")


def _sum(reader: ShardReader, indices: list[int]) -> float:
    return float(sum(np.abs(reader.audio(index)).sum() for index in indices))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_reader_works_in_worker_processes(tmp_path: Path, method: str) -> None:
    write(tmp_path / "s")
    reader = ShardReader(tmp_path)
    reader.audio(0)
    expected = [_sum(reader, [0, 3]), _sum(reader, [1, 6])]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_sum, [(reader, [0, 3]), (reader, [1, 6])]) == expected
    assert pickle.loads(pickle.dumps(reader)).clips == reader.clips


def test_verify_names_the_damaged_file(tmp_path: Path) -> None:
    write(tmp_path / "s")
    assert ShardReader(tmp_path).verify() == len(list((tmp_path / "s").glob("*.tar")))
    victim = tmp_path / "s" / "shard-00001.tar"
    content = bytearray(victim.read_bytes())
    content[len(content) // 3] ^= 1
    victim.write_bytes(content)
    assert not is_complete(tmp_path / "s", "f")
    with pytest.raises(CorpusError, match=r"shard-00001\.tar has sha256"):
        ShardReader(tmp_path).verify()


def test_a_short_or_missing_shard_is_named(tmp_path: Path) -> None:
    write(tmp_path / "s", 2)
    reader = ShardReader(tmp_path)
    victim = tmp_path / "s" / "shard-00000.tar"
    victim.write_bytes(victim.read_bytes()[:600])
    with pytest.raises(CorpusError, match=r"clip s-0: .*shard-00000\.tar ends too early") as caught:
        reader.audio(0)
    assert caught.value.clip_id == "s-0"  # a batch has many, some beneath others
    with pytest.raises(CorpusError, match="600 bytes"):
        reader.verify()
    victim.unlink()
    with pytest.raises(CorpusError, match=r"shard-00000\.tar"):
        reader.flac(0)
    with pytest.raises(CorpusError, match="missing"):
        reader.verify()


@pytest.mark.parametrize(("told", "held"), [(0.3, 960_000), (60.0, 8000), (0.52, 8000)])
def test_audio_of_another_length_than_the_index_says_is_refused(tmp_path: Path, told: float, held: int) -> None:
    with ShardWriter(tmp_path / "s", source="s", fingerprint="f") as writer:
        writer.add(a_clip("right", 0.5), some_audio(0))
        writer.add(a_clip("near", 0.5001), some_audio(0))
        writer.add(a_clip("wrong", told), np.zeros(held, dtype=np.float32))
    reader = ShardReader(tmp_path)
    assert len(reader.audio(0)) == len(reader.audio(1)) == 8000
    said = rf"clip wrong of .*shard-00000\.tar: FLAC of {held / 16_000:.4f} s, where the index says {told} s"
    with pytest.raises(CorpusError, match=said) as caught:
        reader.audio(2)
    assert caught.value.clip_id == "wrong"
    with pytest.raises(CorpusError, match=said):
        reader.verify()


def test_audio_at_another_rate_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_48_khz(audio: Audio) -> bytes:
        buffer = io.BytesIO()
        soundfile.write(buffer, audio, 48_000, format="FLAC")
        return buffer.getvalue()

    monkeypatch.setattr(shards, "encode_flac", at_48_khz)
    write(tmp_path / "s", 1)
    for read in (lambda reader: reader.audio(0), ShardReader.verify):
        with pytest.raises(CorpusError, match=r"clip s-0 of .*: FLAC of 48000 Hz and 1 channels; shards hold 16000 Hz"):
            read(ShardReader(tmp_path))


def _write_and_interrupt(folder: Path) -> None:
    with ShardWriter(folder, source="s", fingerprint="f", max_shard_bytes=40_000) as writer:
        for number in range(4):
            writer.add(a_clip(f"s-{number}"), some_audio(number))
        raise KeyboardInterrupt


def test_an_interrupted_build_leaves_no_index_and_whole_shards_only(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write(folder)
    clean = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        _write_and_interrupt(folder)
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert left
    assert "index.json" not in left
    assert all(clean[name] == content for name, content in left.items())
    assert not is_complete(folder, "f")
    with pytest.raises(CorpusError, match="no built source"):
        ShardReader(tmp_path)
    write(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == clean
    assert is_complete(folder, "f")
    assert not is_complete(folder, "another recipe")


def test_rebuilding_leaves_no_stale_shards(tmp_path: Path) -> None:
    write(tmp_path / "s", 7)
    (tmp_path / "s" / "shard-00009.tar.tmp").write_bytes(b"half")
    write(tmp_path / "s", 1)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["index.json", "shard-00000.tar"]


def test_an_id_given_twice_is_refused(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, source="s", fingerprint="f") as writer:
        writer.add(a_clip("a"), some_audio(0))
        with pytest.raises(CorpusError, match="'a' is given twice"):
            writer.add(a_clip("a"), some_audio(1))


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_id_of_two_sources_is_refused_with_both(tmp_path: Path, split: str) -> None:
    write(tmp_path / "a", 2)
    with ShardWriter(tmp_path / "b", source="s", fingerprint="f") as writer:
        writer.add(a_clip("b-0"), some_audio(0))
        writer.add(a_clip("a-1", split=split), some_audio(1))
    said = f"clip 'a-1' is in {tmp_path / 'a'} and in {tmp_path / 'b'}, and an id is unique in a corpus; remove one"
    for chosen in (None, "train", "dev"):
        with pytest.raises(CorpusError, match=re.escape(said)):
            ShardReader(tmp_path, split=chosen)
    assert len(ShardReader(tmp_path, source="a")) == len(ShardReader(tmp_path / "b")) == 2


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": 99}'])
def test_an_index_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.json").write_bytes(content)
    with pytest.raises(CorpusError, match=r"index\.json"):
        ShardReader(tmp_path)


def test_an_unknown_key_in_the_index_is_named(tmp_path: Path) -> None:
    write(tmp_path / "s", 1)
    path = tmp_path / "s" / "index.json"
    index = json.loads(path.read_text())
    index["clips"][0]["mood"] = "calm"
    path.write_text(json.dumps(index))
    with pytest.raises(CorpusError, match="'mood'"):
        ShardReader(tmp_path)

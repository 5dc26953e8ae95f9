"""Recordings that break off are refused in every container; what only looks like damage is not."""

import io

import numpy as np
import pytest
from sounds import ENCODINGS, encoded, refused

from opendasheng import containers, mpeg
from opendasheng.audio import load_audio, probe_seconds

# libsndfile starts a CAF with four thousand bytes of padding and itself refuses one that breaks off there.
CHUNKED = [pair for pair in ENCODINGS if pair[0] not in ("CAF", "FLAC", "MP3", "OGG")]


def test_a_flac_stream_that_states_no_length_is_read_to_its_end() -> None:
    data = bytearray(encoded("FLAC", "PCM_16"))
    data[21] &= 0xF0  # the 36-bit sample count of STREAMINFO
    data[22:26] = bytes(4)
    np.testing.assert_array_equal(load_audio(data), load_audio(encoded("FLAC", "PCM_16")))
    assert probe_seconds(bytes(data)) is None


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_that_states_no_length_is_read_to_its_end(size: int) -> None:
    data = bytearray(encoded("WAV", "PCM_16"))
    at = data.index(b"data") + 4
    data[at : at + 4] = size.to_bytes(4, "little")
    assert len(load_audio(data)) == 16_000


@pytest.mark.parametrize(
    "tail",
    [
        b"TAG" + bytes(125),
        b"APETAGEX" + (2000).to_bytes(4, "little") + (32).to_bytes(4, "little") + bytes(16) + b"TAG" + bytes(125),
        b"LYRICSBEGIN" + b"x" * 50 + b"000061LYRICS200",
        bytes(1000),
    ],
    ids=["id3v1", "ape+id3v1", "lyrics3", "zeros"],
)
def test_tags_behind_an_mp3_are_no_damage(tail: bytes) -> None:
    data = encoded("MP3", "MPEG_LAYER_III")
    np.testing.assert_array_equal(load_audio(data + tail), load_audio(data))


def test_tags_before_an_mp3_are_no_damage() -> None:
    picture = b"\xff\xfb\x90\x00" * 300  # looks like frames, must not be taken for them
    size = bytes([len(picture) >> 21 & 127, len(picture) >> 14 & 127, len(picture) >> 7 & 127, len(picture) & 127])
    data = encoded("MP3", "MPEG_LAYER_III")
    tagged = b"ID3\x04\x00\x00" + size + picture + data
    np.testing.assert_array_equal(load_audio(tagged), load_audio(data))
    assert containers.inspect(io.BytesIO(b"ID3\x04\x00\x00" + size + picture + encoded("FLAC", "PCM_16"))).cut is None


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_mpeg_frames_are_counted(rate_hz: int) -> None:
    found = mpeg.scan(encoded("MP3", "MPEG_LAYER_III", rate_hz, 2))
    assert found is not None
    assert found.cut is None
    assert found.rate_hz == rate_hz
    sound = found.num_frames * found.samples_per_frame
    assert rate_hz <= sound <= rate_hz + 4 * 1152
    assert found.least_samples <= rate_hz


@pytest.mark.parametrize(("container", "subtype"), ENCODINGS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.99, -1])  # -1: only the last byte is missing
def test_a_file_that_breaks_off_is_refused(container: str, subtype: str, share: float) -> None:
    data = encoded(container, subtype)
    cut = data[:-1] if share == -1 else data[: int(len(data) * share)]
    refused(cut)


@pytest.mark.parametrize(("container", "subtype"), CHUNKED)
def test_the_shortfall_is_told_in_bytes(container: str, subtype: str) -> None:
    data = encoded(container, subtype)
    refused(data[: len(data) // 2], "cut short", "bytes of sound")


def test_an_mp3_cut_between_frames_is_told_from_its_header_count() -> None:
    data = encoded("MP3", "MPEG_LAYER_III", seconds=2.0)
    ends = [cut for cut in range(len(data) // 2, len(data) // 2 + 1000) if _walks_clean(data[:cut])]
    assert ends, "no frame ends in a thousand bytes"
    refused(data[: ends[0]], "promises", "MPEG frames")


def _walks_clean(data: bytes) -> bool:
    found = mpeg.scan(data)
    return found is not None and (found.cut is None or "last MPEG frame" not in found.cut)


def test_an_ogg_cut_between_pages_has_no_last_page() -> None:
    data = encoded("OGG", "VORBIS", seconds=5.0)
    refused(data[: data.rindex(b"OggS")], "last Ogg page is missing")


def test_recordings_one_after_the_other_are_not_heard_as_the_first_alone() -> None:
    refused(encoded("MP3", "MPEG_LAYER_III", seconds=3.0) * 2)
    refused(encoded("OGG", "VORBIS") * 2, "several Ogg recordings")


@pytest.mark.parametrize(("excess", "is_whole"), [(1_000, True), (20_000, False)])
def test_an_ogg_may_promise_a_little_too_much(excess: int, is_whole: bool) -> None:
    """Some Vorbis encoders end at a position just behind the last sample; a lost page is more than that."""
    data = bytearray(encoded("OGG", "VORBIS", seconds=5.0))
    page = data.rindex(b"OggS")
    position = int.from_bytes(data[page + 6 : page + 14], "little") + excess
    data[page + 6 : page + 14] = position.to_bytes(8, "little")
    data[page + 22 : page + 26] = bytes(4)
    data[page + 22 : page + 26] = ogg_checksum(data[page:]).to_bytes(4, "little")
    if is_whole:
        assert abs(len(load_audio(data)) - 80_000) <= excess
    else:
        refused(data, "of at least")


def ogg_checksum(page: bytearray) -> int:
    """RFC 3533 section 6: CRC-32 with the polynomial 0x04c11db7, neither reflected nor inverted."""
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    return checksum

"""Every encoding, rate, channel count and sample type gives mono 16 kHz; what cannot be heard is refused."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import ENCODINGS, encoded, peak_hz, refused, sine

from opendasheng import audio
from opendasheng.audio import SAMPLE_RATE_HZ, describe, load_audio, probe_seconds


@pytest.mark.parametrize(("container", "subtype"), ENCODINGS)
def test_every_encoding_from_path_bytes_and_file_object(container: str, subtype: str, tmp_path: Path) -> None:
    data = encoded(container, subtype)
    path = tmp_path / f"clip.{container.lower()}"
    path.write_bytes(data)
    wave = load_audio(path)
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert wave.flags.c_contiguous
    expected = sine(1.0, 16_000)[:, 0]
    if subtype not in ("IMA_ADPCM",):  # its blocks do not end where the sound does
        assert len(wave) == len(expected)
    assert abs(peak_hz(wave) - 440) < 2
    assert np.corrcoef(wave[: len(expected)], expected)[0, 1] > 0.99
    for source in (str(path), data, bytearray(data), io.BytesIO(data)):
        np.testing.assert_array_equal(load_audio(source), wave)


@pytest.mark.parametrize(
    ("container", "subtype", "rate_hz", "num_channels"),
    [
        ("WAV", "PCM_16", 4_000, 1),
        ("WAV", "FLOAT", 192_000, 8),
        ("FLAC", "PCM_16", 192_000, 8),
        ("FLAC", "PCM_16", 4_000, 3),
        ("MP3", "MPEG_LAYER_III", 8_000, 2),
        ("MP3", "MPEG_LAYER_III", 22_050, 1),
        ("MP3", "MPEG_LAYER_III", 44_100, 2),
        ("OGG", "VORBIS", 4_000, 1),
        ("OGG", "VORBIS", 44_100, 6),
        ("OGG", "OPUS", 48_000, 2),
    ],
)
def test_rates_and_channels_of_files(container: str, subtype: str, rate_hz: int, num_channels: int) -> None:
    wave = load_audio(encoded(container, subtype, rate_hz, num_channels))
    assert abs(len(wave) - SAMPLE_RATE_HZ) <= 1
    assert abs(peak_hz(wave) - 440) < 2
    assert 0.45 < np.abs(wave).max() < 0.6


@settings(max_examples=40)
@given(
    num_samples=st.integers(200, 40_000),
    num_channels=st.integers(1, 8),
    rate_hz=st.sampled_from([4_000, 8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]),
)
def test_any_rate_and_channel_count_gives_mono_of_the_expected_length(
    num_samples: int, num_channels: int, rate_hz: int
) -> None:
    samples = sine(num_samples / rate_hz, rate_hz, num_channels)
    wave = load_audio(samples, rate_hz)
    assert wave.shape == (len(wave),)
    assert abs(len(wave) - len(samples) * SAMPLE_RATE_HZ / rate_hz) <= 1
    if len(wave) >= 4_000:
        assert abs(peak_hz(wave) - 440) < 2 * SAMPLE_RATE_HZ / len(wave)


def test_channels_are_averaged() -> None:
    left, right = np.full(400, 0.5, np.float32), np.full(400, -0.25, np.float32)
    np.testing.assert_allclose(load_audio(np.stack([left, right]), 16_000), 0.125)
    np.testing.assert_allclose(load_audio(np.stack([left, right], axis=1), 16_000), 0.125)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (np.int8, -128, -1.0),
        (np.int16, 16384, 0.5),
        (">i2", 16384, 0.5),
        (np.int32, -(2**30), -0.5),
        (np.uint8, 192, 0.5),
        (np.float64, 0.5, 0.5),
        (np.float16, 0.5, 0.5),
    ],
)
def test_sample_types_of_arrays(dtype: Any, value: float, expected: float) -> None:
    np.testing.assert_array_equal(load_audio(np.full(10, value, dtype), 16_000), np.full(10, expected, np.float32))


def test_an_array_is_copied() -> None:
    samples = np.zeros(10, np.float32)
    load_audio(samples, 16_000)[:] = 1
    assert not samples.any()


def test_a_tensor_is_taken_by_its_numpy_method() -> None:
    class Tensor:
        shape = (3,)
        requires_grad = True

        def detach(self) -> "Tensor":
            self.requires_grad = False
            return self

        def numpy(self) -> np.ndarray[Any, Any]:
            if self.requires_grad:
                raise RuntimeError("call detach() first")
            return np.array([0, 0.5, -0.5])

    np.testing.assert_array_equal(load_audio(Tensor(), 16_000), np.float32([0, 0.5, -0.5]))


def test_a_long_file_is_decoded_in_blocks_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    for container, subtype in (("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS"), ("FLAC", "PCM_16")):
        data = encoded(container, subtype, 48_000, 2)
        whole = load_audio(data)
        monkeypatch.setattr(audio, "_BLOCK_VALUES", 5_000)
        np.testing.assert_array_equal(load_audio(data), whole)
        monkeypatch.undo()


def test_a_file_named_raw_is_judged_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "clip.raw"
    path.write_bytes(encoded("WAV", "PCM_16"))
    assert len(load_audio(path)) == 16_000


def test_missing_file_folder_empty_file_and_text(tmp_path: Path) -> None:
    refused(tmp_path / "gone.wav", "no such file")
    refused("", "path is empty")
    refused("nul\0character.wav", "no possible path")
    refused("line\nbreak.wav", "no such file")
    refused("x" * 5000, "check")
    refused(tmp_path, "folder")
    empty = tmp_path / "empty.wav"
    empty.touch()
    refused(empty, "0 bytes")
    refused(b"", "0 bytes")
    refused(io.BytesIO(), "0 bytes")
    refused(io.StringIO("text"), "str, not bytes")
    text = tmp_path / "text.wav"
    text.write_text("This is not audio.\n" * 100)
    refused(text, "audio")
    refused(["a.wav"], "no audio source")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    refused(tmp_path / "pipe.wav", "not a regular file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(encoded("WAV", "PCM_16"))
    path.chmod(0)
    refused(path, "ermission")


def test_no_samples() -> None:
    refused(encoded("WAV", "PCM_16", seconds=0.0), "0 samples")
    refused(np.zeros(0, np.float32), "0 samples", sampling_rate=16_000)
    refused(np.zeros((0, 2), np.float32), "0 samples", sampling_rate=16_000)
    refused(np.zeros(1, np.float32), "0 samples", sampling_rate=192_000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_samples_that_are_no_numbers(value: float, rate_hz: int) -> None:
    samples = np.zeros(1000, np.float32)
    samples[500] = value
    refused(samples, "sample 500", f"{500 / rate_hz:.3f} s", "finite", sampling_rate=rate_hz)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="FLOAT")
    refused(buffer.getvalue(), "sample 500", "finite")


def test_arrays_that_do_not_say_what_they_are() -> None:
    refused(np.zeros(10), "sampling_rate")
    refused(np.zeros(10), "sampling_rate", "'16k'", sampling_rate="16k")
    refused(np.zeros(10), "999999999 Hz", sampling_rate=999_999_999)
    refused(np.zeros(10), "0 Hz", sampling_rate=0)
    refused(np.zeros((4, 4)), "axes", sampling_rate=16_000)
    refused(np.zeros((16, 1000)), "at most 8", sampling_rate=16_000)
    refused(np.zeros((1, 2, 1000)), "3 axes", sampling_rate=16_000)
    refused(np.zeros(10, np.int64), "int64", sampling_rate=16_000)
    refused(np.zeros(10, np.complex64), "complex64", sampling_rate=16_000)
    refused(np.array(["a"]), "<U1", sampling_rate=16_000)
    refused(np.full(10, 1e300), "inf", sampling_rate=16_000)


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")])
def test_longer_than_allowed(container: str, subtype: str) -> None:
    data = encoded(container, subtype, seconds=2.0)
    refused(data, "2.00 s", "limit is 1.5 s", max_seconds=1.5)
    assert len(load_audio(data, max_seconds=2.0)) == 32_000
    refused(np.zeros(32_000), "2.00 s", sampling_rate=16_000, max_seconds=1.0)


def test_a_file_with_an_absurd_rate() -> None:
    data = bytearray(encoded("WAV", "PCM_16"))
    data[24:28] = (3).to_bytes(4, "little")
    refused(data, "3 Hz")


def test_without_ffmpeg_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    refused(b"\0\0\0\x18ftypM4A " + bytes(12), "no ffmpeg", "install ffmpeg")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on PATH")
@pytest.mark.parametrize(("suffix", "codec"), [("m4a", "aac"), ("webm", "libopus"), ("mka", "flac"), ("wma", "wmav2")])
def test_ffmpeg_reads_what_libsndfile_does_not(suffix: str, codec: str, tmp_path: Path) -> None:
    wav, path = tmp_path / "clip.wav", tmp_path / f"clip.{suffix}"
    wav.write_bytes(encoded("WAV", "PCM_16", 48_000, 2, 3.0))
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-c:a", codec, path], check=True)
    wave = load_audio(path)
    assert abs(len(wave) - 48_000) < 2_000
    assert abs(peak_hz(wave) - 440) < 2
    np.testing.assert_array_equal(load_audio(path.read_bytes()), wave)
    refused(path, "limit is 1 s", max_seconds=1.0)
    data = path.read_bytes()
    refused(data[: len(data) * 2 // 3])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on PATH")
def test_ffmpeg_follows_no_playlist(tmp_path: Path) -> None:
    inner = tmp_path / "inner.wav"
    inner.write_bytes(encoded("WAV", "PCM_16"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{inner}\n#EXT-X-ENDLIST\n".encode()
    refused(playlist, "ffmpeg")
    refused(f"ffconcat version 1.0\nfile '{inner}'\n".encode(), "ffmpeg")


def test_names_are_short_printable_and_without_secrets() -> None:
    assert describe("clips/a.wav") == "clips/a.wav"
    assert describe(Path("clips/a.wav")) == str(Path("clips/a.wav"))
    assert describe("https://user:pass@host.org/a.wav?sig=123#t") == "https://host.org/a.wav"
    assert describe(b"1234") == "bytes (4 B)"
    assert describe(np.zeros((2, 3))) == "array of shape (2, 3)"
    assert describe("a\nb.wav") == "'a\\nb.wav'"
    assert "\n" not in describe("\udcff\n")
    assert len(describe("x" * 9999)) == 300


@pytest.mark.parametrize(("container", "subtype"), ENCODINGS)
def test_duration_from_the_header(container: str, subtype: str, tmp_path: Path) -> None:
    data = encoded(container, subtype, 48_000, 2, 1.5)
    (tmp_path / "clip").write_bytes(data)
    for source in (data, tmp_path / "clip"):
        seconds = probe_seconds(source)
        assert seconds is not None
        assert abs(seconds - 1.5) < 0.05


def test_no_duration_without_a_header(tmp_path: Path) -> None:
    assert probe_seconds(np.zeros(8_000), 16_000) == 0.5
    for source in (
        np.zeros(8_000),
        b"",
        b"text",
        tmp_path,
        tmp_path / "gone",
        "http://127.0.0.1:1/a",
        io.BytesIO(),
    ):
        assert probe_seconds(source) is None


def test_importing_audio_loads_no_heavy_library() -> None:
    heavy = ("torch", "transformers", "httpx", "scipy")
    script = f"import sys, opendasheng.audio; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

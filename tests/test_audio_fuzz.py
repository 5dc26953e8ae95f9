"""Whatever the bytes: finite mono audio, or an AudioError in one line. Nothing else escapes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sounds import ENCODINGS, encoded

from opendasheng.audio import load_audio, probe_seconds
from opendasheng.errors import AudioError


def hear(data: bytes) -> None:
    try:
        wave = load_audio(data, max_seconds=60)
    except AudioError as error:
        message = str(error)
    else:
        message = ""
        assert wave.dtype == np.float32
        assert len(wave) > 0
        assert np.isfinite(wave).all()
    assert "\n" not in message
    probe_seconds(data)


FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


MAGIC = [
    b"",
    b"RIFF\0\0\0\0WAVE",
    b"OggS\0\2",
    b"fLaC",
    b"ID3\4\0\0",
    b"\xff\xfb\x90\0",
    b"FORM",
    b".snd",
    b"caff\0\1",
]
MAGIC += [b"RF64", b"riff\x2e\x91\xcf\x11", b"\0\0\0\x18ftypM4A "]


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzzers are about our own reading; a process for each example would only be slow."""
    monkeypatch.setenv("PATH", "")


@FUZZ
@given(magic=st.sampled_from(MAGIC), rest=st.binary(max_size=400))
def test_random_bytes(magic: bytes, rest: bytes, no_ffmpeg: None) -> None:
    hear(magic + rest)


@FUZZ
@given(
    pair=st.sampled_from([*ENCODINGS]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.one_of(st.floats(0, 1), st.floats(0, 0.02)), st.integers(0, 255)), max_size=5),
)
def test_damaged_files(pair: tuple[str, str], cut: float, flips: list[tuple[float, int]], no_ffmpeg: None) -> None:
    data = bytearray(encoded(*pair, seconds=0.3))
    for where, value in flips:
        data[int(where * (len(data) - 1))] = value
    hear(bytes(data[: int(cut * len(data))]) if cut < 0.5 else bytes(data))

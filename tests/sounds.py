"""Small real recordings in every encoding, and the one way in which bad audio may be refused."""

import functools
import io
from typing import Any

import numpy as np
import pytest
import soundfile

from opendasheng.audio import SAMPLE_RATE_HZ, describe, load_audio
from opendasheng.errors import AudioError

ENCODINGS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("MP3", "MPEG_LAYER_III"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
]


def sine(seconds: float, rate_hz: int, num_channels: int = 1, hz: float = 440.0) -> np.ndarray[Any, Any]:
    """``(S, C)``: the same sine in every channel, over a little noise that no codec can shrink to nothing."""
    num_samples = round(seconds * rate_hz)
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(num_samples) / rate_hz)
    noise = 0.01 * np.random.default_rng(0).standard_normal(num_samples)
    return np.repeat((wave + noise)[:, None], num_channels, axis=1).astype(np.float32)


@functools.cache
def encoded(container: str, subtype: str, rate_hz: int = 16_000, num_channels: int = 1, seconds: float = 1.0) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sine(seconds, rate_hz, num_channels), rate_hz, format=container, subtype=subtype)
    return buffer.getvalue()


def peak_hz(wave: np.ndarray[Any, Any]) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(spectrum.argmax() * SAMPLE_RATE_HZ / len(wave))


def refused(source: Any, *words: str, **options: Any) -> str:
    """The message of the AudioError, which must be one line that names the source and holds ``words``."""
    with pytest.raises(AudioError) as caught:
        load_audio(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(describe(source) + ": "), message
    assert "; " in message, "no way out is given"
    for word in words:
        assert word in message, message
    return message

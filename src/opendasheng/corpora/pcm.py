"""Samples without a header, as games of the nineties kept them, as WAV files."""

import io
import wave


def unsigned_wav(samples: bytes, rate_hz: int) -> bytes:
    """A mono WAV file of unsigned 8-bit ``samples``."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(rate_hz)
        writer.writeframes(samples)
    return file.getvalue()

"""ACAVCaps in small: tars with captions, with audio where it is wanted, and with whatever else somebody puts there."""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

SAID = {"long": "A dog barks while a man speaks.", "short": "A dog and a man."}


def sound(seconds: float = 10.0, hz: float = 300.0, rate_hz: int = 16_000) -> bytes:
    """A tone that gets louder, as FLAC."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.5 * times / seconds * np.sin(2 * np.pi * hz * times), rate_hz, format="FLAC")
    return buffer.getvalue()


def member(name: str, content: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A file in a tar: bytes as they are, all else as JSON."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    header = tarfile.TarInfo(name)
    header.size = len(data)
    return header, data


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = tarfile.SYMTYPE, target
    return header, b""


def tar(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for header, data in members:
            archive.addfile(header, io.BytesIO(data))
    path.write_bytes(buffer.getvalue())
    return path

"""Whether an audio file is as long as its container promises.

libsndfile quietly shortens a recording to the bytes that are there, so a download that broke off would be
heard as a shorter clip. These walkers read only headers and find the sound chunk, the last Ogg page or the
last MPEG frame. Covered: WAV, RF64, W64, AIFF, AU, CAF, Ogg (Vorbis, Opus, FLAC), MPEG audio, MP4,
ASF. FLAC needs none: it states its sample count. No torch, no numpy.
"""

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from opendasheng import mpeg

_MAX_SIGNED = 2**63 - 1
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


@dataclass(frozen=True)
class Promise:
    """``cut``: why the file is taken to be cut short, or None; ``least_samples``: what a decode yields."""

    cut: str | None = None
    least_samples: int = 0


class _Chunks(NamedTuple):
    """How a chunked container is laid out."""

    start: int  # of the first chunk
    header: struct.Struct  # name of a chunk, size in bytes
    alignment: int
    sound: bytes
    size_counts_header: bool = False


_CHUNKED = {
    b"RIFF": _Chunks(12, struct.Struct("<4sI"), 2, b"data"),
    b"RF64": _Chunks(12, struct.Struct("<4sI"), 2, b"data"),
    b"FORM": _Chunks(12, struct.Struct(">4sI"), 2, b"SSND"),
    b"caff": _Chunks(8, struct.Struct(">4sq"), 1, b"data"),
    b"riff": _Chunks(
        40,
        struct.Struct("<16sq"),
        8,
        b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a"),
        size_counts_header=True,
    ),
}


def inspect(stream: BinaryIO) -> Promise:
    """Compare what the container in ``stream`` promises with the bytes that are there.

    ``stream`` is a seekable binary stream, read from its start and left there. Unknown containers promise
    nothing. Raises OSError if reading fails.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(12)
    try:
        if layout := _CHUNKED.get(head[:4]):
            return Promise(_cut_chunks(stream, size, layout))
        if head[:4] == b".snd":
            return Promise(_cut_au(head, size))
        if head[:4] == b"OggS":
            return Promise(_cut_ogg(stream, size))
        if head[4:8] == b"ftyp":
            return Promise(_cut_mp4(stream, size))
        if head == _ASF_HEADER:
            return Promise(_cut_asf(stream, size))
        if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
            return _inspect_mpeg(stream)
        return Promise()
    finally:
        stream.seek(0)


def _cut_chunks(stream: BinaryIO, size: int, layout: _Chunks) -> str | None:
    position = layout.start
    long_bytes: int | None = None  # RF64 keeps sizes beyond 32 bits in a chunk of its own
    while position + layout.header.size <= size:
        stream.seek(position)
        name, num_bytes = layout.header.unpack(stream.read(layout.header.size))
        position += layout.header.size
        if name == b"ds64":
            long_bytes = int.from_bytes(stream.read(16)[8:], "little")
        if name == layout.sound:
            if num_bytes == 0xFFFFFFFF and long_bytes is not None:
                num_bytes = long_bytes
            if layout.size_counts_header:
                num_bytes -= layout.header.size
            return _shortfall(num_bytes, size - position)
        if num_bytes < 0:
            return None
        if layout.size_counts_header:
            num_bytes = max(0, num_bytes - layout.header.size)
        position += -(-num_bytes // layout.alignment) * layout.alignment
    return None


def _cut_au(head: bytes, size: int) -> str | None:
    offset, num_bytes = struct.unpack(">II", head[4:12].ljust(8, b"\0"))
    return _shortfall(num_bytes, size - offset)


def _shortfall(promised: int, there: int) -> str | None:
    """Writers to a pipe cannot go back to fill in the size: they leave a mark for "until the end"."""
    is_unknown = promised <= 0 or 0x7FFFF000 <= promised <= 0x7FFFFFFF or promised in (0xFFFFFFFF, _MAX_SIGNED)
    if is_unknown or promised <= there:
        return None
    return f"its header promises {promised} bytes of sound, {max(0, there)} are there"


def _cut_ogg(stream: BinaryIO, size: int) -> str | None:
    """Step from page to page (RFC 3533 section 6): the last must be whole and marked as the end."""
    position, ended = 0, False
    while position < size:
        stream.seek(position)
        header = stream.read(27 + 255)
        if not header.startswith(b"OggS"):
            # Foreign bytes behind a finished stream (a tag, say) take no sound away.
            return None if ended else f"its Ogg pages break off at byte {position} of {size}"
        num_segments = header[26] if len(header) > 26 else 0
        segments = header[27 : 27 + num_segments]
        end = position + 27 + num_segments + sum(segments)
        if len(header) < 27 or len(segments) < num_segments or end > size:
            return "its last Ogg page is incomplete"
        starts, ends = bool(header[5] & 2), bool(header[5] & 4)
        if starts and ended:
            return "it holds several Ogg recordings one after the other, of which only the first would be heard"
        ended = ended or ends
        position = end
    return None if ended else "its last Ogg page is missing"


def _cut_mp4(stream: BinaryIO, size: int) -> str | None:
    """Top-level boxes (ISO/IEC 14496-12 section 4.2) must end within the file."""
    position = 0
    while position + 8 <= size:
        stream.seek(position)
        header = stream.read(16)
        num_bytes = int.from_bytes(header[:4], "big")
        if num_bytes == 1:
            num_bytes = int.from_bytes(header[8:16], "big")
        if num_bytes == 0:
            return None
        if num_bytes < 8:
            return f"its MP4 boxes break off at byte {position} of {size}"
        position += num_bytes
    return None if position == size else f"its MP4 boxes promise {position} bytes, {size} are there"


def _cut_asf(stream: BinaryIO, size: int) -> str | None:
    """The file properties object of WMA files holds the size of the file (ASF specification section 3.2)."""
    stream.seek(0)
    head = stream.read(2**16)
    at = head.find(_ASF_FILE_PROPERTIES) + 40
    promised = int.from_bytes(head[at : at + 8], "little") if at >= 40 else 0
    return f"its header promises {promised} bytes, {size} are there" if promised > size else None


def _inspect_mpeg(stream: BinaryIO) -> Promise:
    stream.seek(0)
    found = mpeg.scan(stream.read())
    return Promise() if found is None else Promise(found.cut, found.least_samples)

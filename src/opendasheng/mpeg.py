"""Walks the frames of an MPEG audio stream (MP3, also layers I and II) without decoding them.

It is a subject of its own because an MP3 file carries no length that can be trusted: the decoder stops in
silence at a frame that is cut short, and at the count that a stale first header promises. Only the frame
headers tell. Frame header: ISO/IEC 11172-3 section 2.4.1.3 and 13818-3; the sizes of a frame follow from
layer, bit rate and sampling rate. No torch, no numpy.
"""

from dataclasses import dataclass
from functools import cache

_LAYER_1, _LAYER_2, _LAYER_3 = 3, 2, 1  # the two layer bits as they stand in the header
_VERSION_2_5, _VERSION_1 = 0, 3

# kbit/s by (is version 1, layer bits); index 0 is the free format, whose frame size the header does not tell.
_BITRATES_KBPS = {
    (True, _LAYER_1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, _LAYER_2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, _LAYER_3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44100, 48000, 32000)

# What a decoder may take away on purpose: encoder delay and padding are 12-bit counts in the header of the
# first frame, and one frame on either side is needed to start and to flush.
_GAPLESS_SAMPLES = 2 * 4095
_EDGE_FRAMES = 3


@dataclass(frozen=True)
class MpegScan:
    """What the frame headers say. ``cut`` is why the stream is taken to be cut short, or None."""

    num_frames: int
    samples_per_frame: int
    rate_hz: int
    cut: str | None

    @property
    def least_samples(self) -> int:
        """Samples per channel that a full decode cannot fall short of."""
        return max(0, (self.num_frames - _EDGE_FRAMES) * self.samples_per_frame - _GAPLESS_SAMPLES)


def scan(data: bytes) -> MpegScan | None:
    """Walk all MPEG frames of ``data``.

    Tags in front (ID3v2) and behind (ID3v1, APEv2, Lyrics3, zero padding) are stepped over; junk between
    frames is stepped over when the same kind of frame goes on behind it.

    Returns None where the headers cannot tell: no frame found, or the free format.
    """
    position = _skip_id3v2(data)
    if data.startswith(b"fLaC", position):
        return None
    start = _next_frame(data, position, key=None)
    if start is None:
        return None
    key = _stream_key(data, start)
    promised = _promised_frames(data, start)
    num_frames, cut = _walk(data, start, key)
    if promised is not None:
        num_frames -= 1  # the frame that carries the promise has no sound
        # Some encoders count that frame too, hence the tolerance of one.
        if cut is None and num_frames < promised - 1:
            cut = f"its header promises {promised} MPEG frames, {num_frames} are there"
    version, layer = key[0] >> 3 & 3, key[0] >> 1 & 3
    return MpegScan(num_frames, _samples_per_frame(version, layer), _rate_hz(version, key[1] >> 2 & 3), cut)


def _skip_id3v2(data: bytes) -> int:
    """Offset of the first byte behind all ID3v2 tags at the start (28-bit sizes, ID3v2.4 section 3.1)."""
    position = 0
    while data[position : position + 3] == b"ID3" and len(data) >= position + 10:
        size = 0
        for byte in data[position + 6 : position + 10]:
            size = size << 7 | byte & 0x7F
        has_footer = bool(data[position + 5] & 0x10)
        position += 10 + size + (10 if has_footer else 0)
    return position


def _walk(data: bytes, position: int, key: tuple[int, int]) -> tuple[int, str | None]:
    """Count the frames from ``position`` on; also say why the last one is incomplete, if it is."""
    end = len(data)
    num_frames = 0
    while position + 4 <= end:
        length = _frame_bytes(data[position + 1], data[position + 2]) if data[position] == 0xFF else 0
        if not length or _stream_key(data, position) != key:
            if _is_tail(data, position):
                return num_frames, None
            resumed = _next_frame(data, position + 1, key)
            if resumed is None:
                return num_frames, None
            position = resumed
            continue
        if position + length > end:
            return num_frames, f"its last MPEG frame has {end - position} of {length} bytes"
        num_frames += 1
        position += length
    rest = data[position:]
    return num_frames, "its last MPEG frame ends inside the header" if rest[:1] == b"\xff" else None


def _next_frame(data: bytes, position: int, key: tuple[int, int] | None) -> int | None:
    """Offset of the next frame header (of the kind ``key``) that is followed by another one or by the end."""
    first = position
    while (position := data.find(b"\xff", position)) >= 0 and position + 4 <= len(data):
        length = _frame_bytes(data[position + 1], data[position + 2])
        found = _stream_key(data, position)
        if length and key in (None, found):
            behind = position + length
            if behind > len(data) - 4 or _is_tail(data, behind):
                if key or position == first:  # two bytes of a header alone are no proof in foreign data
                    return position
            elif data[behind] == 0xFF and _stream_key(data, behind) == found:
                return position
        position += 1
    return None


def _is_tail(data: bytes, position: int) -> bool:
    """Whether what begins here is a tag or padding that may follow the last frame."""
    if data.startswith((b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI"), position):
        return True
    return data[position] == 0 and not data[position:].strip(b"\0")


def _stream_key(data: bytes, position: int) -> tuple[int, int]:
    """The header bits that all frames of a stream share: sync, version, layer and sampling rate."""
    return data[position + 1] & 0xFE, data[position + 2] & 0x0C


def _promised_frames(data: bytes, start: int) -> int | None:
    """Frame count of the Xing/Info or VBRI header inside the first frame, if it has one."""
    vbri = start + 4 + 32
    if data.startswith(b"VBRI", vbri) and len(data) >= vbri + 18:
        return int.from_bytes(data[vbri + 14 : vbri + 18], "big")
    # It stands behind the side information: 9 to 32 bytes by version and channels, two more with a checksum.
    for side_bytes in (32, 17, 9, 34, 19, 11):
        xing = start + 4 + side_bytes
        if data.startswith((b"Xing", b"Info"), xing):
            has_count = len(data) >= xing + 12 and data[xing + 7] & 1
            return int.from_bytes(data[xing + 8 : xing + 12], "big") if has_count else None
    return None


@cache
def _frame_bytes(second: int, third: int) -> int:
    """Bytes of a frame with these second and third header bytes; 0 if they are no header or tell no size."""
    version, layer = second >> 3 & 3, second >> 1 & 3
    bitrate_index, rate_index, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if second < 0xE0 or version == 1 or layer == 0 or rate_index == 3 or bitrate_index in (0, 15):
        return 0
    bits_per_second = 1000 * _BITRATES_KBPS[version == _VERSION_1, layer][bitrate_index]
    rate_hz = _rate_hz(version, rate_index)
    if layer == _LAYER_1:
        return (12 * bits_per_second // rate_hz + padding) * 4
    return _samples_per_frame(version, layer) // 8 * bits_per_second // rate_hz + padding


def _samples_per_frame(version: int, layer: int) -> int:
    if layer == _LAYER_1:
        return 384
    return 576 if layer == _LAYER_3 and version != _VERSION_1 else 1152


def _rate_hz(version: int, rate_index: int) -> int:
    divisor = 1 if version == _VERSION_1 else 4 if version == _VERSION_2_5 else 2
    return _RATES_HZ[rate_index] // divisor

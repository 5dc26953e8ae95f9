"""Rob Northen Compression: what an encoder of our own packs comes back, and damaged data is refused by name."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.corpora.rnc import unpack
from opendasheng.errors import CorpusError


class Packer:
    """Bits into 16-bit words, the lowest first, and raw bytes after the word that is being filled."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.bits: list[int] = []
        self.word = -1

    def put(self, value: int, count: int) -> None:
        for place in range(count):
            if len(self.bits) % 16 == 0:
                self.word = len(self.parts)
                self.parts.append(b"")
                self.bits = []
            self.bits.append(value >> place & 1)
            number = sum(bit << index for index, bit in enumerate(self.bits))
            self.parts[self.word] = struct.pack("<H", number)

    def code(self, symbol: int, further: int = 0) -> None:
        """One of 16 symbols of 4 bits each, canonical: the code of a symbol is itself, first bit highest."""
        for place in (3, 2, 1, 0):
            self.put(symbol >> place & 1, 1)
        if symbol > 1:
            self.put(further, symbol - 1)

    def value(self, number: int) -> None:
        symbol = number if number < 2 else number.bit_length()
        self.code(symbol, number & ((1 << max(0, symbol - 1)) - 1))

    def table(self) -> None:
        self.put(16, 5)
        for _ in range(16):
            self.put(4, 4)


def pack(pieces: list[tuple[bytes, int, int]], last: bytes) -> tuple[bytes, bytes]:
    """Packed and plain: ``pieces`` are raw bytes, distance and length of a match; ``last`` ends the one chunk."""
    packer, plain = Packer(), bytearray()
    packer.put(0, 2)
    for _ in range(3):
        packer.table()
    packer.put(len(pieces) + 1, 16)
    for raw, distance, length in pieces:
        packer.value(len(raw))
        packer.parts.append(raw)
        plain += raw
        packer.value(distance - 1)
        packer.value(length - 2)
        for _ in range(length):
            plain.append(plain[-distance])
    packer.value(len(last))
    packer.parts.append(last)
    plain += last
    body = b"".join(packer.parts)
    return struct.pack(">4sIIHHBB", b"RNC\x01", len(plain), len(body), 0, 0, 0, 1) + body, bytes(plain)


@st.composite
def packings(draw: st.DrawFn) -> tuple[bytes, bytes]:
    pieces, size = [], 0
    for _ in range(draw(st.integers(0, 5))):
        raw = draw(st.binary(min_size=1, max_size=40))
        size += len(raw)
        distance, length = draw(st.integers(1, size)), draw(st.integers(2, 70))
        pieces.append((raw, distance, length))
        size += length
    return pack(pieces, draw(st.binary(max_size=20)))


@given(packings())
def test_what_is_packed_comes_back(packing: tuple[bytes, bytes]) -> None:
    packed, plain = packing
    assert unpack(packed) == plain
    assert unpack(packed + b"what follows in the file") == plain


@given(packings(), st.data())
def test_damage_is_refused_or_changes_bytes_alone(packing: tuple[bytes, bytes], data: st.DataObject) -> None:
    packed, _ = packing
    place = data.draw(st.integers(0, len(packed) - 1))
    damaged = bytearray(packed)
    damaged[place] ^= data.draw(st.integers(1, 255))
    for hostile in (bytes(damaged), packed[:place]):
        with suppress(CorpusError):
            assert len(unpack(hostile)) == struct.unpack_from(">I", hostile, 4)[0]


def test_lengths_that_do_not_agree_are_refused() -> None:
    packed, _ = pack([(b"ab", 1, 2)], b"c")
    for size, reason in ((1, "outside its 1"), (9, "holds 5 bytes and says 9")):
        with pytest.raises(CorpusError, match=reason):
            unpack(packed[:4] + struct.pack(">I", size) + packed[8:])
    with pytest.raises(CorpusError, match="RNC"):
        unpack(b"RNC\x02" + packed[4:])

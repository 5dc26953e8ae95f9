"""Rob Northen Compression, method 1, as games of the nineties packed their files.

Layout: ``RNC``, method 1, unpacked and packed length (32 bits each, big-endian), two checksums (16 bits each), a byte
that does not matter here, the number of chunks, then the chunks. Bits are read from 16-bit little-endian words, the
lowest first; raw bytes lie between the words. The first two bits say nothing. A chunk is three Huffman codes (of raw
lengths, of distances, of match lengths), a 16-bit count, and as many pairs of raw bytes and a match; its last pair has
no match. A code is a 5-bit count and 4-bit lengths, canonical and read from its last bit; symbol ``n`` above 1 stands
for ``2 ** (n - 1)`` and as many further bits.
"""

import struct

from opendasheng.errors import CorpusError

MAGIC = b"RNC\x01"
_HEADER = struct.Struct(">4sIIHHBB")


class _Bits:
    """Bits of 16-bit words, and the raw bytes between them."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._place = _HEADER.size
        self._word = 0
        self._left = 0

    def take(self, count: int) -> int:
        """The next ``count`` bits, the first of them lowest."""
        value = 0
        for place in range(count):
            if not self._left:
                (self._word,) = struct.unpack_from("<H", self._packed, self._place)
                self._place += 2
                self._left = 16
            value |= (self._word & 1) << place
            self._word >>= 1
            self._left -= 1
        return value

    def raw(self, count: int) -> bytes:
        """The next ``count`` bytes after the word that bits are taken from."""
        found = self._packed[self._place : self._place + count]
        if len(found) < count:
            raise CorpusError(f"packed data ends {count - len(found)} bytes early")
        self._place += count
        return found


class _Code:
    """A Huffman code, read from ``bits``."""

    def __init__(self, bits: _Bits) -> None:
        lengths = [bits.take(4) for _ in range(bits.take(5))]
        self._symbols: dict[tuple[int, int], int] = {}
        code = 0
        for length in range(1, 16):
            for symbol, of_symbol in enumerate(lengths):
                if of_symbol == length:
                    self._symbols[length, code] = symbol
                    code += 1
            code <<= 1

    def value(self, bits: _Bits) -> int:
        """The next symbol with its further bits, as a number."""
        code = 0
        for length in range(1, 16):
            code = code << 1 | bits.take(1)
            symbol = self._symbols.get((length, code))
            if symbol is not None:
                return symbol if symbol < 2 else 1 << (symbol - 1) | bits.take(symbol - 1)
        raise CorpusError("packed data has a code that its table lacks")


def unpack(packed: bytes) -> bytes:
    """The content of ``packed``, which begins with its header; what follows the packed length is left aside.

    Raises:
        CorpusError: another header, or data that does not unpack to the length that it names.
    """
    if packed[:4] != MAGIC or len(packed) < _HEADER.size:
        raise CorpusError(f"packed data starts with {packed[:4]!r} instead of {MAGIC!r}")
    _, size, packed_size, _, _, _, chunks = _HEADER.unpack_from(packed)
    # The last word may be cut in half.
    bits = _Bits(packed[: _HEADER.size + packed_size] + b"\0")
    found = bytearray()
    try:
        bits.take(2)
        for _ in range(chunks):
            _chunk(bits, found, size)
    except struct.error as error:
        raise CorpusError(f"packed data ends after {len(found)} of {size} bytes") from error
    if len(found) != size:
        raise CorpusError(f"packed data holds {len(found)} bytes and says {size}")
    return bytes(found)


def _chunk(bits: _Bits, found: bytearray, size: int) -> None:
    """Unpack one chunk onto ``found``, which is to become ``size`` bytes long."""
    raw, distances, lengths = _Code(bits), _Code(bits), _Code(bits)
    for pair in range(bits.take(16), 0, -1):
        found += bits.raw(raw.value(bits))
        if pair == 1:
            return
        start = len(found) - distances.value(bits) - 1
        length = lengths.value(bits) + 2
        if start < 0 or len(found) + length > size:
            raise CorpusError(f"packed data repeats {length} bytes from {start}, outside its {size}")
        for place in range(start, start + length):
            found.append(found[place])

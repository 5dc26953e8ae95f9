"""A sound font of one sine."""

import struct

import numpy as np

_RATE_HZ = 44_100


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _listed(name: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", name + b"".join(chunks))


def a_font(*presets: tuple[int, int]) -> bytes:
    """A SoundFont 2 file with these (bank, program), each playing the same looped sine at its middle C."""
    wave = np.round(20_000 * np.sin(2 * np.pi * np.arange(1000) * 261.63 / _RATE_HZ)).astype("<i2").tobytes()
    names = [f"P{number}".encode() for number in range(len(presets))]
    headers = [
        struct.pack("<20sHHHIII", name, program, bank, index, 0, 0, 0)
        for index, (name, (bank, program)) in enumerate(zip(names, presets, strict=True))
    ]
    end = len(presets)
    sample = struct.pack("<20s5IBbHH", b"sine", 0, 1000, 8, 990, _RATE_HZ, 60, 0, 0, 1)
    pdta = _listed(
        b"pdta",
        _chunk(b"phdr", b"".join(headers) + struct.pack("<20sHHHIII", b"EOP", 0, 0, end, 0, 0, 0)),
        _chunk(b"pbag", b"".join(struct.pack("<HH", number, 0) for number in range(end + 1))),
        _chunk(b"pmod", bytes(10)),
        _chunk(b"pgen", struct.pack("<HH", 41, 0) * end + bytes(4)),
        _chunk(b"inst", struct.pack("<20sH", b"I", 0) + struct.pack("<20sH", b"EOI", 1)),
        _chunk(b"ibag", struct.pack("<HHHH", 0, 0, 2, 0)),
        _chunk(b"imod", bytes(10)),
        _chunk(b"igen", struct.pack("<HHHH", 54, 1, 53, 0) + bytes(4)),
        _chunk(b"shdr", sample + struct.pack("<20s5IBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)),
    )
    info = _listed(b"INFO", _chunk(b"ifil", struct.pack("<HH", 2, 1)))
    return _chunk(b"RIFF", b"sfbk" + info + _listed(b"sdta", _chunk(b"smpl", wave + bytes(92))) + pdta)

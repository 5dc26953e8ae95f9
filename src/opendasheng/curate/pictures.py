"""Pictures of a clip for a page: its waveform as a path of SVG, its log-mel as a small PNG.

The PNG is written here, with zlib of the standard library: no library of pictures is a dependency, and one of 256
colours without compression tricks takes a few lines.
"""

import struct
import zlib

import numpy as np
import torch
from numpy.typing import NDArray

from opendasheng.audio import Waveform
from opendasheng.lengths import MIN_MEL_SAMPLES
from opendasheng.model.mel import LogMel

WIDTH, HEIGHT = 600, 80
"""Of the waveform's view box; its middle is at half the height."""
_RANGE_DB = 80.0
_LEAST_STROKE = 0.8  # so that silence is a line
# From silence to the loudest: dark violet, red, yellow; the lightness grows all the way, for eyes that see no colours.
_COLOURS = ((10, 8, 30), (70, 20, 105), (160, 45, 100), (230, 95, 45), (252, 180, 60), (253, 250, 190))


def waveform_path(audio: Waveform) -> str:
    """``audio`` ``(S,)`` as upright strokes from the lowest to the highest sample, the peak of the clip at the edge."""
    num = min(WIDTH, len(audio))
    starts = np.arange(num) * len(audio) // num
    lowest, highest = np.minimum.reduceat(audio, starts), np.maximum.reduceat(audio, starts)
    scale = (HEIGHT / 2 - 1) / max(float(np.abs(audio).max()), 1e-9)
    tops, bottoms = HEIGHT / 2 - highest * scale, HEIGHT / 2 - lowest * scale
    short = np.maximum(_LEAST_STROKE - (bottoms - tops), 0) / 2
    xs = (np.arange(num) + 0.5) * WIDTH / num
    rows = zip(xs, tops - short, bottoms + short, strict=True)
    return "".join(f"M{x:.1f},{top:.1f}V{bottom:.1f}" for x, top, bottom in rows)


def mel_png(audio: Waveform) -> bytes:
    """The log-mel of ``audio`` ``(S,)`` from its peak 80 dB down, low tones at the bottom: 64 rows, a column a frame,
    or the mean of several in at most 600 columns."""
    padded = np.pad(audio, (0, max(0, MIN_MEL_SAMPLES - len(audio))))
    with torch.inference_mode():
        mel_MF = LogMel()(torch.from_numpy(padded)[None])[0].numpy()
    num = min(WIDTH, mel_MF.shape[1])
    starts = np.arange(num) * mel_MF.shape[1] // num
    columns_MC = np.add.reduceat(mel_MF, starts, axis=1) / np.diff([*starts, mel_MF.shape[1]])
    levels_MC = np.clip((columns_MC - columns_MC.max()) / _RANGE_DB + 1, 0, 1) * 255
    return png(np.round(levels_MC[::-1]).astype(np.uint8))


def png(levels: NDArray[np.uint8]) -> bytes:
    """A PNG of ``levels`` ``(rows, columns)``, each the number of one of 256 colours."""
    rows, columns = levels.shape
    lines = np.pad(levels, ((0, 0), (1, 0))).tobytes()  # each line begins with 0: it is not filtered
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", _palette()), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _palette() -> bytes:
    places, stops = np.linspace(0, len(_COLOURS) - 1, 256), np.arange(len(_COLOURS))
    channels = [np.interp(places, stops, [colour[channel] for colour in _COLOURS]) for channel in range(3)]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8).tobytes()

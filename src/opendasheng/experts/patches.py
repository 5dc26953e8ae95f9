"""The log-mel patches that YAMNet was trained on, in numpy.

Frames of 25 ms every 10 ms under a periodic Hann window, magnitudes of an FFT of 512, 64 triangles that are even on the
mel scale (HTK's) from 125 to 7500 Hz, and log(x + 0.001). This is not the mel of our encoder, nor that of Whisper.
Facts from the network's published parameters (tensorflow/models, audioset/yamnet).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from opendasheng.audio import Waveform
from opendasheng.lengths import HOP_SAMPLES, SAMPLE_RATE_HZ

NUM_BANDS = 64
PATCH_FRAMES = 96
PATCH_HOP_FRAMES = 48
_WINDOW_SAMPLES = 400
_FFT_SAMPLES = 512
_LOWEST_HZ, _HIGHEST_HZ = 125.0, 7500.0
_OFFSET = 0.001
_PATCH_SAMPLES = (PATCH_FRAMES - 1) * HOP_SAMPLES + _WINDOW_SAMPLES
_PATCH_HOP_SAMPLES = PATCH_HOP_FRAMES * HOP_SAMPLES


def num_patches(num_samples: int) -> int:
    """Patches of a clip: as many as it takes to hear its last sample, and at least one."""
    return 1 + max(0, -((_PATCH_SAMPLES - num_samples) // _PATCH_HOP_SAMPLES))


def log_mel_patches(audio: Waveform) -> NDArray[np.float32]:
    """float32 ``(num_patches, 96, 64)`` of mono float32 ``(S,)`` at 16 kHz, 0.96 s each, every 0.48 s.

    Zeros follow a clip up to the end of its last patch, as they do for the network's authors.
    """
    num = num_patches(len(audio))
    filled = np.pad(audio, (0, _PATCH_SAMPLES + (num - 1) * _PATCH_HOP_SAMPLES - len(audio)))
    frames = np.lib.stride_tricks.sliding_window_view(filled, _WINDOW_SAMPLES)[::HOP_SAMPLES]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW_SAMPLES) / _WINDOW_SAMPLES)
    magnitudes = np.abs(np.fft.rfft(frames * window, _FFT_SAMPLES))
    log_mel = np.log(magnitudes @ _triangles() + _OFFSET).astype(np.float32)
    starts = np.arange(num) * PATCH_HOP_FRAMES
    return np.stack([log_mel[start : start + PATCH_FRAMES] for start in starts])


@cache
def _triangles() -> NDArray[np.float64]:
    """``(257, 64)``: the share of each bin of the FFT in each band; the constant part has none."""
    bins = _mel(np.arange(_FFT_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / _FFT_SAMPLES)[:, None]
    edges = np.linspace(_mel(np.float64(_LOWEST_HZ)), _mel(np.float64(_HIGHEST_HZ)), NUM_BANDS + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    shares = np.maximum(0.0, np.minimum(rising, falling))
    shares[0] = 0.0
    return shares


def _mel(hz: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(hz / 700.0))

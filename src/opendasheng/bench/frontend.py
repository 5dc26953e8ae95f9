"""The log-mel against two others that are in use: transformers' numpy loop, and Qwen2.5-Omni's extractor.

Goals are from a survey on one core of an AVX2 machine: for 30 s, 73.7 ms in numpy against 6.7 ms for a real FFT over
frames and one product with the filters; for 1 s, 305 ms for Omni's extractor, which pads every clip to 300 s, against
0.9 ms. The bound is the survey's for window, FFT and filters alone, all in cache; on an AVX-512 Xeon these take 0.54 ms
for 512 frames, which makes 37.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch

from opendasheng.bench.timing import Comparison, Work
from opendasheng.lengths import HOP_SAMPLES, SAMPLE_RATE_HZ
from opendasheng.model.configuration import NUM_MELS
from opendasheng.model.mel import MIN_POWER, NUM_BINS, TOP_DB, WINDOW_SAMPLES, LogMel

NUMPY_GOAL: Final = 10.0
NUMPY_BOUND: Final = 35.0
OMNI_GOAL: Final = 300.0
_GOAL_SECONDS: Final = 30.0


def comparisons(seconds: float) -> Iterator[Comparison]:
    """A clip of ``seconds`` against numpy, then one of 1 s against Omni; goals hold for 30 s and 1 s."""
    at_goal = seconds == _GOAL_SECONDS
    audio_S = noise(seconds)
    yield Comparison(
        name=f"frontend, {seconds:g} s, transformers numpy",
        our_name="LogMel",
        their_name="transformers.audio_utils.spectrogram, same shape",
        ours=our_work(audio_S),
        theirs=numpy_work(audio_S),
        goal=NUMPY_GOAL if at_goal else None,
        bound=NUMPY_BOUND if at_goal else None,
    )
    audio_S = noise(1.0)
    yield Comparison(
        name="frontend, 1 s, Qwen2.5-Omni",
        our_name="LogMel",
        their_name="WhisperFeatureExtractor(128 bands), padded to 300 s",
        ours=our_work(audio_S),
        theirs=omni_work(audio_S),
        goal=OMNI_GOAL,
    )


def noise(seconds: float) -> np.ndarray:
    """White noise, float32 ``(S,)`` at 16 kHz; the time of a log-mel does not depend on what is heard."""
    samples = round(seconds * SAMPLE_RATE_HZ)
    return np.random.default_rng(0).normal(scale=0.1, size=samples).astype(np.float32)


def our_work(audio_S: np.ndarray) -> Work:
    """The log-mel in dB of one clip, ``(1, 64, F)``."""
    front_end, audio_BS = LogMel(), torch.from_numpy(audio_S)[None]
    return lambda: front_end(audio_BS)


def numpy_work(audio_S: np.ndarray) -> Work:
    """The same log-mel, ``(64, F)``, by transformers' loop over frames in numpy."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    window_N = window_function(WINDOW_SAMPLES, "hann")
    filters_KM = mel_filter_bank(NUM_BINS, NUM_MELS, 0.0, SAMPLE_RATE_HZ / 2, SAMPLE_RATE_HZ, mel_scale="htk")
    return lambda: spectrogram(
        audio_S,
        window_N,
        frame_length=WINDOW_SAMPLES,
        hop_length=HOP_SAMPLES,
        power=2.0,
        mel_filters=filters_KM,
        mel_floor=MIN_POWER,
        log_mel="dB",
        db_range=TOP_DB,
    )


def omni_work(audio_S: np.ndarray) -> Work:
    """Whisper's features as Qwen2.5-Omni's processor makes them: 128 bands, padded to 300 s, its longest clip."""
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=128, chunk_length=300)
    return lambda: extractor(audio_S, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")

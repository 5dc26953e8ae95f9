"""The log-mel of YAMNet, against the routines of transformers, which share no line with ours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from opendasheng.experts.patches import log_mel_patches, num_patches


def sweep(num_samples: int) -> np.ndarray:
    """A tone that rises through all bands, in noise."""
    time = np.arange(num_samples) / 16_000
    noise = np.random.default_rng(0).normal(size=num_samples) * 0.01
    return (0.3 * np.sin(2 * np.pi * (60 * time + 1200 * time**2)) + noise).astype(np.float32)


def test_patches_are_those_of_an_independent_reckoning() -> None:
    audio = sweep(15_600 + 4 * 7680)  # whole patches, so nothing is filled up
    bank = mel_filter_bank(257, 64, 125.0, 7500.0, 16_000, mel_scale="htk", triangularize_in_mel_space=True)
    window = window_function(400, "hann", periodic=True)
    options = {"fft_length": 512, "power": 1.0, "center": False, "mel_filters": bank, "mel_floor": 0.0}
    frames = np.log(spectrogram(audio.astype(np.float64), window, 400, 160, **options).T + 0.001)
    found = log_mel_patches(audio)
    assert (found.shape, found.dtype) == ((5, 96, 64), np.float32)
    for place, patch in enumerate(found):
        np.testing.assert_allclose(patch, frames[48 * place : 48 * place + 96], atol=2e-5)


def test_zeros_follow_what_is_short() -> None:
    audio = sweep(5_000)
    np.testing.assert_array_equal(log_mel_patches(audio), log_mel_patches(np.pad(audio, (0, 10_600))))
    assert log_mel_patches(audio)[0, 50:] == pytest.approx(np.log(0.001))
    longer = log_mel_patches(sweep(15_601))
    assert len(longer) == 2  # one sample more than a patch is heard in a second


@given(st.integers(0, 400_000))
def test_every_sample_is_in_a_patch_and_no_patch_is_empty(num_samples: int) -> None:
    num = num_patches(num_samples)
    assert 15_600 + (num - 1) * 7680 >= num_samples
    assert num == 1 or 15_600 + (num - 2) * 7680 < num_samples

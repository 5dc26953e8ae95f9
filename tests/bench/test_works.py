"""Both sides of a comparison do the same work, or work of the size that their name says."""

import numpy as np
import pytest
import torch

from opendasheng.bench import encoder, frontend
from opendasheng.bench.macs import DASHENG, OMNI_TINY


@pytest.mark.parametrize("seconds", [0.3, 2.0])
def test_numpy_makes_the_same_log_mel(seconds: float) -> None:
    audio_S = frontend.noise(seconds)
    audio_S[: len(audio_S) // 2] *= 1e-7  # deep enough for the floor 120 dB below the peak
    ours_1MF, theirs_MF = frontend.our_work(audio_S)(), frontend.numpy_work(audio_S)()
    assert isinstance(ours_1MF, torch.Tensor)
    assert ours_1MF.shape == (1, *np.shape(theirs_MF))
    np.testing.assert_allclose(ours_1MF[0].numpy(), theirs_MF, atol=1e-2)


def test_omni_pads_a_short_clip_to_five_minutes() -> None:
    features = frontend.omni_work(frontend.noise(0.2))()
    assert features["input_features"].shape == (1, 128, 30_000)


def test_encoders_yield_features_at_their_rates() -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        ours = encoder.our_work(DASHENG["tiny"], 48_000)()
        theirs = encoder.omni_work(OMNI_TINY, 300)()
    assert isinstance(ours, torch.Tensor)
    assert isinstance(theirs, torch.Tensor)
    assert ours.shape == (1, 75, 32)
    assert theirs.shape == (75, OMNI_TINY.output)
    for features in (ours, theirs):
        assert features.isfinite().all()
        assert 1e-3 < features.std() < 1e3


def test_goals_hold_for_their_own_sizes_only() -> None:
    goals = [comparison.goal for comparison in frontend.comparisons(30.0)]
    assert goals == [frontend.NUMPY_GOAL, frontend.OMNI_GOAL]
    assert [comparison.goal for comparison in frontend.comparisons(1.0)] == [None, frontend.OMNI_GOAL]
    (tiny,) = encoder.comparisons(30.0, "tiny")
    assert tiny.goal is None

"""Crops hold every sample of their clips once, in whole stretches, the same for the same seed and epoch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.data.clip import Clip
from opendasheng.data.crops import MIN_SECONDS, Crops
from opendasheng.errors import ConfigError


def clip(number: int, seconds: float, kind: str = "sound") -> Clip:
    return Clip(f"clip{number}", "source", "CC0-1.0", "train", kind, seconds, labels=("dog",))


def crops(*seconds: float, longest: float = 10.0, **repeats: float) -> Crops:
    clips = [clip(number, length) for number, length in enumerate(seconds)]
    return Crops(clips, seconds=longest, repeats=repeats, seed=3)


@given(st.lists(st.floats(0.2, 40), min_size=1, max_size=8), st.floats(0.5, 12), st.integers(0, 3))
def test_all_of_a_clip_is_cut_but_a_short_end(lengths, longest, epoch):
    plan = crops(*lengths, longest=longest)
    found = plan.epoch(epoch)
    for index, length in enumerate(lengths):
        own = sorted((crop.start_samples, crop.num_samples) for crop in found if crop.index == index)
        end = 0
        for start, size in own:
            assert start == end
            assert MIN_SECONDS * 16_000 <= size <= round(longest * 16_000)
            end = start + size
        assert 0 <= round(length * 16_000) - end < max(MIN_SECONDS * 16_000, 1)
    assert found == plan.epoch(epoch)
    assert len({crop.seed for crop in found}) == len(found)


def test_epochs_differ_and_rates_repeat_clips():
    plan = crops(*[1.0] * 30)
    assert plan.epoch(0) != plan.epoch(1)
    assert len(crops(*[1.0] * 30, sound=2.0).epoch(0)) == 60
    assert 30 < len(crops(*[1.0] * 30, sound=1.5).epoch(0)) < 60
    assert crops(1.0, source=0.0).epoch(0) == []


def test_what_is_never_drawn_is_told_by_its_reason():
    clips = [clip(0, 3.0), clip(1, 0.3), clip(2, 3.0, "music"), clip(3, 0.5)]
    plan = Crops(clips, seconds=2.0, repeats={"music": 0.0}, seed=3)
    assert plan.not_drawn() == {"shorter than a crop may be (0.5 s)": [1], "repeats of 0": [2]}
    assert {crop.index for epoch in range(5) for crop in plan.epoch(epoch)} == {0, 3}


def test_a_crop_knows_its_length():
    [first, second] = sorted(crops(15.0).epoch(0), key=lambda crop: crop.start_samples)
    assert (first.duration_seconds, second.duration_seconds) == (10.0, 5.0)


def test_too_short_a_crop_is_refused():
    with pytest.raises(ConfigError, match=r"crop_seconds is 0\.1"):
        crops(1.0, longest=0.1)


def test_rates_of_what_is_not_there_are_refused():
    with pytest.raises(ConfigError, match="no source or kind 'sources'; did you mean 'source'"):
        crops(1.0, sources=2.0)

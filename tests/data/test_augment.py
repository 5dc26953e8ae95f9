"""Changes of a clip: drawn with the plan, exact in length, and heard where they should be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.data.augment import AugmentConfig, Change
from opendasheng.errors import ConfigError

RATE = 16_000


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def level_db(audio: np.ndarray, hertz: float) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    near = np.abs(np.fft.rfftfreq(len(audio), 1 / RATE) - hertz) < 10
    return float(20 * np.log10(spectrum[near].max() / len(audio) * 4))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**31))
def test_a_draw_is_within_its_bounds_and_depends_on_the_seed_alone(speed, telephone, noise, seed) -> None:
    config = AugmentConfig(speed, telephone, noise)
    change = config.draw(np.random.default_rng(seed))
    assert change == config.draw(np.random.default_rng(seed))
    assert 1 / (1 + speed) - 1e-9 <= change.speed <= 1 + speed + 1e-9
    assert change.noise_db is None or -70 <= change.noise_db <= -36


def test_shares_are_kept() -> None:
    random = np.random.default_rng(0)
    changes = [AugmentConfig(0.2, 0.3, 0.6).draw(random) for _ in range(2000)]
    assert sum(change.telephone for change in changes) / 2000 == pytest.approx(0.3, abs=0.04)
    assert sum(change.noise_db is not None for change in changes) / 2000 == pytest.approx(0.6, abs=0.04)
    nothing = [AugmentConfig().draw(random) for _ in range(20)]
    assert all(c.speed == 1 and not c.telephone and c.noise_db is None for c in nothing)


def test_faster_is_shorter_and_higher() -> None:
    fast = Change(speed=1.25).retime(tone(1000))
    assert abs(len(fast) - RATE / 1.25) <= 1
    assert level_db(fast, 1250) > -10
    assert level_db(fast, 1000) < -50
    assert Change().retime(fast) is fast


def test_a_telephone_has_no_highs() -> None:
    through = Change(telephone=True).degrade(tone(1000) + tone(6000))
    assert through.shape == (RATE,)
    assert through.dtype == np.float32
    assert level_db(through, 1000) == pytest.approx(level_db(tone(1000), 1000), abs=0.5)
    assert level_db(through, 6000) < -50


def test_noise_is_as_loud_as_drawn() -> None:
    change = Change(noise_db=-40.0, seed=3)
    noise = change.degrade(tone(500)) - tone(500)
    assert 20 * np.log10(noise.std() / 0.5) == pytest.approx(-40, abs=0.5)
    assert np.array_equal(change.degrade(tone(500)), change.degrade(tone(500)))


def test_gaps_are_silent_and_all_else_is_as_it_was() -> None:
    audio = 1 + tone(500, 4.0)
    for seed in range(20):
        masked = Change(seed=seed, gaps=3).degrade(audio)
        silent = masked == 0
        assert np.array_equal(masked[~silent], audio[~silent])
        assert (np.diff(silent.astype(int), prepend=0) == 1).sum() <= 3
        assert silent.sum() <= 3 * 0.4 * RATE
        assert (Change(seed=seed, gaps=3).degrade(audio[:800]) == 0).sum() <= 3 * 0.15 * 800 + 3
        assert np.array_equal(masked, Change(seed=seed, gaps=3).degrade(audio))
    assert {(Change(seed=seed, gaps=1).degrade(audio) == 0).any() for seed in range(20)} == {True, False}


def test_bands_are_taken_out() -> None:
    hertz = np.geomspace(100, 7500, 24)
    audio = sum(tone(one) for one in hertz) / 24
    missing = []
    for seed in range(40):
        masked = Change(seed=seed, bands=1).degrade(audio)
        assert masked.shape == audio.shape
        assert masked.dtype == np.float32
        lost = [level_db(masked, one) < level_db(audio, one) - 20 for one in hertz]
        # What is lost lies side by side.
        assert sum(a != b for a, b in zip([False, *lost], [*lost, False], strict=True)) in (0, 2)
        missing.append(np.mean(lost))
    assert 0 < np.mean(missing) < 0.2
    assert max(missing) < 0.55


def test_a_clip_without_samples_stays_one() -> None:
    assert Change(seed=1, gaps=4, bands=4).degrade(np.zeros(0, np.float32)).shape == (0,)


def test_masks_do_not_move_what_else_is_drawn() -> None:
    plain, masking = (AugmentConfig(0.2, 0.3, 0.4, *masks).draw(np.random.default_rng(5)) for masks in ((), (2, 3)))
    assert (masking.gaps, masking.bands) == (2, 3)
    assert replace(masking, gaps=0, bands=0) == plain


@pytest.mark.parametrize(
    "wrong",
    [{"speed_change": -0.1}, {"telephone_share": 1.5}, {"noise_share": float("nan")}, {"gaps": -1}, {"bands": 11}],
)
def test_what_is_no_share_is_refused(wrong) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AugmentConfig(**wrong)

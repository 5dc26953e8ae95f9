"""Pictures hold what is heard: a PNG that decodes, with loud bands where tones are, and a path within its box."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pngs import decoded
from sounds import sine

from opendasheng.curate.pictures import HEIGHT, WIDTH, mel_png, png, waveform_path


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_png_comes_back(levels):
    np.testing.assert_array_equal(decoded(png(levels)), levels)


@pytest.mark.parametrize("num_samples", [1, 100, 257, 16_000, 160_000])
def test_a_mel_has_its_size_for_any_length(num_samples):
    rows, columns = decoded(mel_png(sine(10.0, 16_000)[:num_samples, 0])).shape
    assert (rows, columns) == (64, min(WIDTH, 1 + max(num_samples, 257) // 160))


def test_high_tones_stand_above_low_ones_and_later_ones_to_the_right():
    low, high = sine(1.0, 16_000, hz=300)[:, 0], sine(1.0, 16_000, hz=5000)[:, 0]
    picture = decoded(mel_png(np.concatenate([low, high])))
    first, last = (picture[:, columns].sum(axis=1).argmax() for columns in (slice(5, 90), slice(110, 195)))
    assert last < 20 < 40 < first


@given(arrays(np.float32, st.integers(1, 2000), elements=st.floats(-4, 4, width=32)))
def test_a_waveform_stays_in_its_box(audio):
    path = waveform_path(audio)
    strokes = re.findall(r"M([\d.]+),([\d.-]+)V([\d.-]+)", path)
    assert len(strokes) == min(WIDTH, len(audio)) == path.count("M")
    for x, top, bottom in strokes:
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(top) <= float(bottom) <= HEIGHT


def test_a_waveform_is_high_where_it_is_loud():
    audio = sine(1.0, 16_000)[:, 0] * np.linspace(0, 1, 16_000, dtype=np.float32)
    heights = [float(b) - float(t) for t, b in re.findall(r",([\d.]+)V([\d.]+)", waveform_path(audio))]
    assert heights[0] < 2
    assert heights[-1] > HEIGHT - 10

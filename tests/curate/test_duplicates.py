"""Near-duplicates: what agrees in all that records hold is found, every pair of it, whatever the blocks."""

import numpy as np
import pytest
from findings import heard, placed, valued
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.curate import duplicates
from opendasheng.curate.duplicates import near_duplicates

HERE, NEAR, FAR = (1.0, 0.0), (1.0, 0.02), (0.0, 1.0)


def pairs(*records, least_cosine=0.99):
    return {tuple(sorted(pair)) for pair in near_duplicates(records, least_cosine)}


def test_a_copy_has_the_vector_the_length_the_centroid_and_the_words():
    bright, brighter, dull = (valued("spectrum", centroid_hz=hz) for hz in (2000.0, 2200.0, 500.0))
    original = heard(placed(HERE), bright)
    assert pairs(original, heard(placed(NEAR), brighter, duration_seconds=10.15)) == {(0, 1)}
    assert pairs(original, heard(placed(NEAR))) == {(0, 1)}  # what was not measured speaks against nothing
    assert pairs(original, heard(placed(FAR), bright)) == set()
    assert pairs(original, heard(placed(HERE), bright, duration_seconds=10.3)) == set()
    assert pairs(original, heard(placed(HERE), dull)) == set()
    assert pairs(original, heard(placed(HERE, version="2"), bright)) == set()
    assert pairs(original, heard(bright)) == set()
    said, misheard, unlike = (
        heard(placed(HERE), bright, valued("speech", transcript=text))
        for text in ("The cat sat on the mat.", "the cat sat on a mat", "Who goes there at night?")
    )
    assert pairs(said, misheard, original, unlike) == {(0, 1), (0, 2), (1, 2), (2, 3)}
    assert pairs(heard(placed((0.0, 0.0))), heard(placed((0.0, 0.0)))) == set()


@pytest.mark.parametrize("block", [1, 3, 1024])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_pair_is_found_once_whatever_the_blocks(block, data):
    angles = data.draw(st.lists(st.tuples(st.integers(0, 5), st.sampled_from((5.0, 5.05, 6.0, 9.0))), max_size=12))
    records = [
        heard(placed((np.cos(angle), np.sin(angle))), duration_seconds=seconds, id=f"c{number}")
        for number, (angle, seconds) in enumerate(angles)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_BLOCK", block)
        found = list(near_duplicates(records, 0.9))
    expected = {
        (one, other)
        for one in range(len(records))
        for other in range(one + 1, len(records))
        if angles[one][0] == angles[other][0]
        and abs(angles[one][1] - angles[other][1]) <= 0.02 * max(angles[one][1], angles[other][1])
    }
    assert len(found) == len(expected)
    assert {tuple(sorted(pair)) for pair in found} == expected

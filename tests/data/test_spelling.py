"""Plain characters, their numbers, and what frames in a row say."""

from hypothesis import given
from hypothesis import strategies as st

from opendasheng.data.spelling import BLANK, Spelling, frequent_characters, plain


def test_what_is_spelt():
    assert plain("  Don\u2019t  go, \u00c9mile! 3 times\u2026") == "don't go \u00e9mile times"
    assert plain("\u041f\u0440\u0438\u0432\u0435\u0442!") == "\u043f\u0440\u0438\u0432\u0435\u0442"
    assert frequent_characters(["ab"] * 19 + ["a"], 20) == "a"


@given(st.text("abc d", max_size=20), st.lists(st.integers(1, 3), min_size=41, max_size=41))
def test_frames_with_blanks_between_characters_say_what_was_spelt(text, repeats):
    spelling = Spelling(" abc")
    ids = spelling.spell(text)
    assert spelling.read(ids) == "".join(c for c in plain(text) if c != "d")
    frames = [number for pair in zip([BLANK] * len(ids), ids, strict=True) for number in pair]
    repeated = [number for number, times in zip(frames, repeats, strict=False) for _ in range(times)]
    assert spelling.read_frames(repeated) == spelling.read(ids)


def test_a_character_that_is_repeated_without_a_blank_counts_once():
    assert Spelling("ab").read_frames([1, 1, 0, 1, 2, 2, 0]) == "aab"

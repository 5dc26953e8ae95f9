"""Figures of captions: what a word is, and the paper's rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.curate.statistics import Statistics, comparison, published, statistics, words


def test_words_stand_between_spaces_without_punctuation():
    assert list(words('A dog\'s bark, "Repentinamente... golpe" - (lo-fi).')) == [
        *("a", "dog's", "bark", "repentinamente", "golpe", "lo-fi"),
    ]
    assert list(words("\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e\u0964")) == [
        *("\u0928\u092e\u0938\u094d\u0924\u0947", "\u0926\u0941\u0928\u093f\u092f\u093e"),
    ]


def test_a_vocabulary_is_counted_once():
    assert statistics(["A dog barks.", "a DOG", ""]) == Statistics(3, 3, pytest.approx(5 / 3))
    assert statistics([]) == Statistics(0, 0, 0.0)


@given(st.lists(st.text()), st.lists(st.text()))
def test_figures_do_not_depend_on_the_order_and_grow_with_captions(some, more):
    assert statistics(some + more) == statistics(more + some)
    assert statistics(some).vocabulary <= statistics(some + more).vocabulary


def test_the_rows_of_the_paper_stand_beside_ours():
    assert [row.name for row in published()][-2:] == ["LAION-Audio-300M", "ACAVCaps"]
    assert len({row.name for row in published()}) == 12
    lines = comparison({"long | captions": Statistics(2, 7, 3.5)}, "template").splitlines()
    assert lines[2] == r"| long \| captions | template | 7 | 3.50 |  |"
    assert lines[3] == "| ClothoV2 | manual | 4366 | 11.32 | Freesound |"
    assert lines[-1] == "| ACAVCaps | reasoning LLM | 644407 | 22.18 | ACAV100M |"

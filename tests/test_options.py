"""Numbers on the command line are what they must be, or the error says what was given."""

import argparse
import math

import pytest

from opendasheng.options import above_0, at_least


def test_whole_numbers() -> None:
    assert [at_least(0)("0"), at_least(1)("1"), at_least(1)("007")] == [0, 1, 7]


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "", "many", "1e3", "inf"])
def test_what_is_no_whole_number_of_at_least_1_is_said(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{text!r} is not a whole number of at least 1$"):
        at_least(1)(text)


def test_whole_numbers_up_to_a_limit() -> None:
    percent = at_least(0, at_most=100)
    assert [percent("0"), percent("100")] == [0, 100]
    for text in ("-1", "101", "1000", "x"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"^{text!r} is not .* of at least 0 and at most 100$"):
            percent(text)


def test_numbers_above_0() -> None:
    assert [above_0("0.5"), above_0("3"), above_0("inf")] == [0.5, 3.0, math.inf]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "", "long"])
def test_what_is_no_number_above_0_is_said(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{text!r} is not a number above 0$"):
        above_0(text)

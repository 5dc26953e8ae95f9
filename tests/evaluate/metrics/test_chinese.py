"""Numbers are read out as they are counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.evaluate.metrics.chinese import cardinal, one_by_one, spoken

DIGITS = "零一二三四五六七八九"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "零"),
        ("7", "七"),
        ("10", "十"),
        ("15", "十五"),
        ("20", "二十"),
        ("22", "二十二"),
        ("100", "一百"),
        ("101", "一百零一"),
        ("110", "一百一十"),
        ("200", "两百"),
        ("212", "两百一十二"),
        ("2002", "两千零二"),
        ("12000", "一万两千"),
        ("220000", "二十二万"),
        ("100000", "十万"),
        ("100000000", "一亿"),
        ("2.05", "二点零五"),
        ("0.5", "零点五"),
        ("00.5", "零点五"),
        ("00", ""),  # as published
        ("05", "零五"),
        ("1" + "0" * 44 + "5", "十载零五"),
        ("7" + "0" * 88, "七载载"),
    ],
)
def test_cardinals(number, text):
    assert cardinal(number) == text


@pytest.mark.parametrize("digits", ["1", "10", "9" * 40, "0", "0001"])
def test_a_number_of_any_length_has_a_name(digits):
    number = digits * (10**5 // len(digits))
    assert len(cardinal(number)) >= (0 if digits == "0" else 10**5 // 44)


@pytest.mark.parametrize(
    ("text", "said"),
    [("1/2/3", "二分之一 三"), ("1.2.3%", "一百分之二点三"), ("B2B b二c二d", "B2B b2c二d"), ("12.5个", "十二点五个")],
)
def test_where_a_number_begins(text, said):
    assert spoken(text).replace(" ", "") == said.replace(" ", "")


@given(st.integers(min_value=1, max_value=10**20 - 1))
def test_a_number_can_be_read_back(number):
    powers = {"十": 1, "百": 2, "千": 3, "万": 4, "亿": 8, "兆": 12, "京": 16}

    def value(text):
        for unit in reversed(powers):
            left, mark, right = text.rpartition(unit) if powers[unit] < 4 else text.partition(unit)
            if mark:
                return (value(left) if left else 1) * 10 ** powers[unit] + (value(right) if right else 0)
        return int("".join(str(DIGITS.index("二" if c == "两" else c)) for c in text) or 0)

    assert value(cardinal(str(number))) == number


@given(st.text(alphabet="0123456789", max_size=40))
def test_digits_by_name(digits):
    assert one_by_one(digits) == "".join(DIGITS[int(d)] for d in digits)


def test_letters_and_their_case_stay():
    assert spoken("B2B和abc") == "B2B和abc"
    assert spoken("(a)") == " a "

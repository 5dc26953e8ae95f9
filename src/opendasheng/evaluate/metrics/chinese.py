"""Written Chinese to spoken Chinese: numbers, dates, money, telephone numbers, fractions and percentages as characters.

The rules are those that the published Mandarin error rates rest on, quirks included (SPEC section 8, EVALUATION.md
section 2): each finds its matches first and then rewrites them one after another where their text first occurs, which
need not be where it was found; "1,234,567" is read group by group, and a minus sign is lost.
"""

import re
import string
import tomllib
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from typing import Any

_TABLE: dict[str, Any] = tomllib.loads(
    files("opendasheng.evaluate.metrics").joinpath("chinese.toml").read_text(encoding="utf-8")
)
_DIGITS: str = _TABLE["digits"]
_UNITS: list[tuple[str, int]] = [(name, power) for name, power in _TABLE["units"]]
_POWERS = dict(_UNITS)
_POINT, _TWO, _ONE = _TABLE["point"], _TABLE["two"], _TABLE["one"]
MINUS: str = _TABLE["minus"]
_YEAR, _MONTH = _TABLE["year"], _TABLE["month"]

# The published order of search and rewriting takes time that grows with the square of the length; no utterance is as
# long as this, and in longer texts each match is rewritten where it was found.
_LONGEST = 100_000
_USUAL = 64  # characters of a number; longer ones are not kept

_NUMBER = r"\d+(?:\.\d+)?"
# A single character before the number: the published patterns take a run of them, find the same, and slowly.
_DATE = re.compile(rf"\D((?:(?:[089]\d|(?:19|20)\d{{2}}){_YEAR})?(?:\d{{1,2}}{_MONTH}(?:\d{{1,2}}{_TABLE['day']})?)?)")
_MONEY = re.compile(rf"\D({_NUMBER}{_TABLE['about']}?{_TABLE['money']}(?:\d{_TABLE['money']}?)?)")
_MOBILE = re.compile(r"\D((?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8})\D")
_LANDLINE = re.compile(r"\D((?:0(?:10|2[1-3]|[3-9]\d{2})-?)?[1-9]\d{6,7})\D")
# A number begins where its digits begin: the published patterns say no such thing, find the same, and slowly.
_FRACTION = re.compile(r"((?<!\d)\d+/\d+)")
_PERCENT = re.compile(rf"((?<!\d){_NUMBER}%)")
_COUNT = re.compile(rf"((?<!\d){_NUMBER}){_TABLE['about']}?(?:{_TABLE['measure']})")
_LONG = re.compile(r"(\d{4,32})")
_PLAIN = re.compile(rf"({_NUMBER})")
_BETWEEN_LETTERS = re.compile(rf"((?<![a-zA-Z])[a-zA-Z]+{_TWO}[a-zA-Z]+)")
_PUNCTUATION = str.maketrans(dict.fromkeys(_TABLE["punctuation"] + string.punctuation, " "))


def spoken(text: str) -> str:
    """``text`` with its numbers read out and its punctuation replaced by spaces; letters keep their case."""
    # Marks at both ends, so that rules which want something around a number find it there.
    text = f"^{text}$"
    text = _rewrite(text, _DATE, _date)
    text = _rewrite(text, _MONEY, lambda money: _each_number(money))
    text = _rewrite(text, _MOBILE, lambda number: "".join(map(one_by_one, number.strip("+").split())))
    text = _rewrite(text, _LANDLINE, lambda number: "".join(map(one_by_one, number.split("-"))))
    text = _rewrite(text, _FRACTION, _fraction)
    text = text.replace(_TABLE["fullwidth_percent"], "%")
    text = _rewrite(text, _PERCENT, lambda percent: _TABLE["percent"] + cardinal(percent.strip("%")))
    text = _rewrite(text, _COUNT, cardinal)
    text = _rewrite(text, _LONG, one_by_one)
    text = _rewrite(text, _PLAIN, cardinal)
    text = _rewrite(text, _BETWEEN_LETTERS, lambda word: word.replace(_TWO, "2"))  # B2B, P2P
    return text.lstrip("^").rstrip("$").translate(_PUNCTUATION)


def _rewrite(text: str, pattern: re.Pattern[str], read: Callable[[str], str]) -> str:
    if len(text) > _LONGEST:
        return pattern.sub(lambda found: found[0].replace(found[1], read(found[1]), 1) if found[1] else found[0], text)
    found = [match for match in pattern.findall(text) if match]
    for match in found:
        text = text.replace(match, read(match), 1)
    return text


def _date(date: str) -> str:
    year, mark, rest = date.partition(_YEAR)
    if not mark:
        year, rest = "", date
    spoken_year = one_by_one(year) + mark if mark else ""
    if not rest:
        return spoken_year
    month, mark, day = rest.partition(_MONTH)
    return spoken_year + cardinal(month) + mark + (cardinal(day[:-1]) + day[-1] if day else "")


def _each_number(money: str) -> str:
    # Every place where a number of the amount stands, even inside a longer one.
    for number in _PLAIN.findall(money):
        money = money.replace(number, cardinal(number))
    return money


def _fraction(fraction: str) -> str:
    above, below = fraction.split("/")
    return cardinal(below) + str(_TABLE["fraction"]) + cardinal(above)


def one_by_one(digits: str) -> str:
    """Each digit by its name, as telephone numbers and years are read."""
    return "".join(_DIGITS[int(digit)] for digit in digits)


def cardinal(number: str) -> str:
    """A decimal number, such as "20.5", as it is counted. A string of zeros says nothing, as published."""
    return _usual(number) if len(number) <= _USUAL else _read(number)


def _read(number: str) -> str:
    whole, dot, decimals = number.partition(".")
    symbols = _counted(whole) if len(whole) > 1 else list(one_by_one(whole))
    symbols = _with_liang(symbols)
    text = "".join(symbols) + (_POINT + one_by_one(decimals) if dot and decimals else "")
    if text.startswith(_POINT):
        return _DIGITS[0] + text
    return text[1:] if text[:2] == _ONE + str(_TABLE["ten"]) else text


_usual = lru_cache(maxsize=4096)(_read)


def _counted(digits: str) -> list[str]:
    """The symbols of a whole number; zeros that stand before a single last digit are read as one zero."""
    begin, end = len(digits) - len(digits.lstrip("0")), len(digits)
    low: list[list[str]] = []
    while end - begin > 1:
        unit, power = next((unit, power) for unit, power in reversed(_UNITS) if power < end - begin)
        low.append([unit, *_counted(digits[end - power : end])])
        end -= power
    highest = [_DIGITS[int(digit)] for digit in digits[begin:end]]
    zero = [_DIGITS[0]] if highest and end > 1 else []
    return [*zero, *highest, *chain.from_iterable(reversed(low))]


def _with_liang(symbols: list[str]) -> list[str]:
    """2 as a number of hundreds, thousands and more has a name of its own, unless it follows a ten."""
    found = list(symbols)
    for i, symbol in enumerate(symbols[:-1]):
        before = symbols[i - 1] if i else None
        counts = _POWERS.get(symbols[i + 1], 1) > 1 and (before is None or _POWERS.get(before, 1) > 1)
        if symbol == _TWO and counts:
            found[i] = str(_TABLE["two_of"])
    return found

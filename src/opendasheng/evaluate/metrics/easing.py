"""What the normalisers of transcripts would take forever over, put so that they are quick and say the same.

Several of their patterns take time that grows with the square of a run of brackets, of spaces, of combining marks or
of number words. No utterance has such runs, but a hostile answer may. Everything here leaves what comes out of
whisper-normalizer as it is, to the last character (tested on random texts).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Any

import regex

# Up to here no pattern takes long, and a text goes to the normalisers as it is.
_LONG = 2000
_RUN = 32
_BRACKETS = re.compile(r"[<\[][^>\]]*[>\]]")
_PARENTHESES = re.compile(r"\([^)]+?\)")
_FILLERS = re.compile(r"\b(?:hmm|mm|mhm|mmm|uh|um)\b")
_BEFORE_APOSTROPHE = re.compile(r"(?<!\s)\s+'")
_SPACES = re.compile(r"\s\s+")
# The halfwidth sound marks are letters that become combining marks.
_MARKS = regex.compile(rf"[\p{{M}}\uff9e\uff9f]{{{_RUN},}}")

_NUMERAL = re.compile(r"\d+(?:\.\d+)?$")
# Number words after which a value is a text, or is one with any further word; and all that may add digits to it.
_LAST = frozenset(
    (
        *("o", "oh", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
        *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
    )
)
_TENS = frozenset(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"))
_ADDING = _LAST | _TENS | {"point", "double", "triple"}


def tamed(text: str) -> str:
    """The same to the normalisers: a bracket that nothing closes is one symbol among others.

    They would look for the other one from each, in time that grows with the square of their number.
    """
    for opening, closing in (("(", ")"), ("<[", ">]")):
        last = max(map(text.rfind, closing))
        if any(bracket in text for bracket in opening):
            text = text[: last + 1] + text[last + 1 :].translate(dict.fromkeys(map(ord, opening), "|"))
    return text


def eased(text: str, *, english: bool) -> str:
    """The same to the English normaliser, or to the basic one: their first steps are done, and long runs cut down.

    Doing those steps once more changes nothing. Of white space the rules tell no, one and more characters apart.
    """
    text = tamed(text)
    if len(text) <= _LONG:
        return text
    text = _PARENTHESES.sub("", _BRACKETS.sub("", text.lower()))
    if english:
        text = _SPACES.sub("  ", _BEFORE_APOSTROPHE.sub("'", _FILLERS.sub("", text)))
    return ordered(text)


def ordered(text: str) -> str:
    """The same to NFKC and NFKD: long runs of combining marks are in their canonical order.

    Python would put them in order one by one, each past all that it follows.
    """
    found: str = _MARKS.sub(lambda run: _in_order(run[0]), text)
    return found


def _in_order(run: str) -> str:
    # The first and the last stay: whether they are letters may make something else a word or none.
    marks = "".join(unicodedata.normalize("NFKD", mark) for mark in run[1:-1])
    # What has class 0 stays where it is, and nothing is moved past it.
    parts = groupby(marks, lambda mark: unicodedata.combining(mark) > 0)
    middle = "".join("".join(sorted(part, key=unicodedata.combining) if moves else part) for moves, part in parts)
    return run[0] + middle + run[-1]


def quicken(numbers: Any) -> None:
    """Let the ``EnglishNumberNormalizer`` of whisper-normalizer read long runs of number words in linear time.

    It copies all digits that it has at each word. Within such a run words only add digits, so that the run is read in
    pieces, and the digits of the pieces come back as one word. What is not so is read as it is.
    """
    read: Callable[[list[str]], Iterator[str]] = numbers.process_words

    def process_words(words: list[str]) -> Iterator[str]:
        short: list[str] = []
        added: dict[str, _Digits] = {}
        for is_number, run in groupby(words, lambda word: word in _ADDING or bool(_NUMERAL.match(word))):
            found = list(run)
            short += _shortened(found, added, read) if is_number and len(found) > _LONG else found
        numbers.ones |= added
        numbers.words |= added.keys()
        try:
            yield from read(short)
        finally:
            for name in added:
                del numbers.ones[name]
            numbers.words -= added.keys()

    numbers.process_words = process_words


class _Digits:
    """Digits in the place of a number from one to nineteen: added to no value, but written behind it."""

    def __init__(self, digits: str) -> None:
        self._digits = digits

    def __str__(self) -> str:
        return self._digits

    def __lt__(self, other: int) -> bool:
        return False


def _shortened(run: list[str], added: dict[str, _Digits], read: Callable[[list[str]], Iterator[str]]) -> Iterator[str]:
    """A run of number words with words of ``added``, which no text can hold, in place of those that add digits."""
    cuts = [0]
    for at in range(_RUN, len(run)):
        if at - cuts[-1] >= _RUN and _may_cut(run, at):
            cuts.append(at)
    yield from run[: cuts[min(1, len(cuts) - 1)]]
    digits: list[str] = []
    for begin, end in pairwise(cuts[1:]):
        piece = run[begin:end]
        more = _digits_of(piece, read)
        if more is None:
            yield from _named(digits, added)
            yield from piece
        else:
            digits.append(more)
    yield from _named(digits, added)
    yield from run[cuts[-1] :]


def _may_cut(run: list[str], at: int) -> bool:
    """Whether there surely is a value, as text, before a word of a run, and the word before makes it no other."""
    before, last = run[at - 2], run[at - 1]
    if last in _LAST:
        return True
    if last in _TENS:
        return before in _TENS | {"point"} and run[at] not in _LAST
    return before == "point" and bool(_NUMERAL.match(last))


def _digits_of(piece: list[str], read: Callable[[list[str]], Iterator[str]]) -> str | None:
    """What a piece adds to a value; None if it does something else."""
    try:
        found = list(read(["o", *piece]))
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
        return None
    return found[0][1:] if len(found) == 1 and found[0].startswith("0") else None


def _named(digits: list[str], added: dict[str, _Digits]) -> Iterator[str]:
    if digits:
        name = f" {len(added)}"  # words have no spaces
        added[name] = _Digits("".join(digits))
        digits.clear()
        yield name

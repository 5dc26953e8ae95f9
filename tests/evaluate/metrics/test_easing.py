"""What is made quick says what whisper-normalizer says, to the last character, and takes no square of the length."""

import time
import unicodedata
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishNumberNormalizer, EnglishTextNormalizer

from opendasheng.evaluate.metrics import easing
from opendasheng.evaluate.metrics.easing import eased, ordered, quicken

ENGLISH, BASIC = EnglishTextNormalizer(), BasicTextNormalizer()
QUICK = EnglishTextNormalizer()
quicken(QUICK.standardize_numbers)
BROKEN = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError)

SIGNS = "()[]<> '\".,$\u20ac\u00a2%-0159abs\n\t\u00a0\u0301\u0316\u0344\u0f73\uff9e\u00df\u03a3\u0130"
WORDS = ("hmm", "mm", "mhm", "mmm", "uh", "um", "um '", " he'd", "been", "won't", "mr", "and a half", "1,000", "$20")
ADDING = ("o", "oh", "zero", "one", "two", "ten", "eleven", "twenty", "ninety", "point", "double", "triple", "5", "1.5")
TEXTS = st.lists(st.one_of(st.sampled_from(SIGNS), st.sampled_from(WORDS), st.characters()), max_size=30).map("".join)
NUMBERS = st.lists(st.sampled_from((*ADDING, "hundred", "first", "and")), max_size=40)


@contextmanager
def short():
    """Texts and runs of any length are eased here."""
    marks = regex.compile(easing._MARKS.pattern.replace(str(easing._RUN), "2"))
    with patch.multiple(easing, _LONG=0, _RUN=2, _MARKS=marks):
        yield


def said(normalise, text):
    try:
        return normalise(text)
    except BROKEN as error:
        return type(error)


@settings(max_examples=1000)
@given(TEXTS)
def test_what_is_eased_is_normalised_alike(text):
    with short():
        assert said(QUICK, eased(text, english=True)) == said(ENGLISH, text)
        assert BASIC(eased(text, english=False)) == BASIC(text)


@settings(max_examples=1000)
@given(NUMBERS)
def test_number_words_are_read_alike(words):
    with short():
        assert said(QUICK, " ".join(words)) == said(ENGLISH, " ".join(words))


@settings(max_examples=300)
@given(st.text("a\u00e9\u0301\u0316\u0344\u0345\u0f71\u0f72\u0f73\uff9e\u3099\u09c7\u09be\u0334"))
def test_marks_in_order_are_the_same_text(text):
    with short():
        in_order = ordered(text)
    for form in ("NFKC", "NFKD"):
        assert unicodedata.normalize(form, in_order) == unicodedata.normalize(form, text)


def test_a_run_of_number_words_is_read_as_one():
    seen = []
    numbers = EnglishNumberNormalizer()
    read = numbers.process_words
    numbers.process_words = lambda words: seen.append(len(words)) or read(words)
    quicken(numbers)
    (found,) = numbers.process_words(["five", "point", *["one", "two", "twenty", "three"] * 1000, "percent"])
    assert found == "5." + "12" + "2312" * 999 + "23%"
    assert max(seen) < 200
    assert not any(" " in word for word in numbers.words | numbers.ones.keys()), "what is added goes again"


@pytest.mark.parametrize(
    "piece",
    ["(A) ", "[x] ", "um ", "um\t' ", "\u0301\u0316", "a\u0301\u0316\u0344", "\u0f73\u0f71", "\u0301\uff9e", "\n", "<"],
)
@pytest.mark.parametrize(("normalise", "english"), [(QUICK, True), (BASIC, False)], ids=["english", "basic"])
def test_long_runs_take_no_forever(normalise, english, piece):
    began = time.process_time()
    normalise(eased(piece * (300_000 // len(piece)), english=english))
    assert time.process_time() - began < 5  # without care: minutes


def test_long_runs_of_number_words_take_no_forever():
    began = time.process_time()
    QUICK.standardize_numbers("o " * 2 * 10**6)
    assert time.process_time() - began < 10  # without care: half a minute, and a hundred times as long for ten times

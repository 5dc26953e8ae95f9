"""Transcript -> the units that an error rate counts: words, or characters where words are not written apart.

``compat`` is the chain of the published script (SPEC section 8): whisper-normalizer 0.1.0 (the version is part of the
figure: later ones change words, see EVALUATION.md section 1), Chinese numbers read out, and for every language but
Mandarin the basic normaliser on top. ``strict`` begins with NFKC, folded case and ASCII digits, keeps combining marks
with their letters, and counts characters for Thai and its neighbours, which are written without spaces.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import TypeAlias

import regex

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics.easing import eased, ordered, quicken, tamed

NORMALISER = "0.1.0"
CHARACTERS = frozenset({"zh", "yue"})  # counted by character as published
# Strictly also these: between their words there is no space.
UNSPACED = CHARACTERS | {"th", "lo", "km", "my", "ja", "bo"}

Units: TypeAlias = Sequence[str]  # words, or a text whose characters are the units

_SUBTAG = re.compile(r"[-_]")
# Codes of ISO 639-3 for the languages that have rules of their own.
_ALIASES = {"cmn": "zh", "zho": "zh", "eng": "en", "tha": "th", "lao": "lo", "khm": "km", "mya": "my", "jpn": "ja"}
_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc"), "'")
_SPACES = re.compile(r"\s+")
_SPACE_BEFORE = re.compile(r" ?([!,.?;:])")
_BRACKETED = re.compile(r"[<\[][^>\]]*[>\]]|\([^)]+?\)")
_GROUPED = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])")
_MINUS = re.compile("(?<![\\dA-Za-z.])[-\u2212](?=\\d)")
_GRAPHEME = regex.compile(r"\X")


def published_units(text: str, language: str) -> Units:
    """The units of the published script; none where it would skip the utterance."""
    return _units(_published(_bare(text, language), language), by_character=language in CHARACTERS)


def strict_units(text: str, language: str) -> Units:
    """The units of the strict definition."""
    language = _SUBTAG.split(language.strip().lower())[0]
    language = _ALIASES.get(language, language)
    text = _bare(_levelled(text).translate(_APOSTROPHES), language)
    if language in CHARACTERS:
        return _units(_strict_chinese(text), by_character=True)
    if language == "en":
        return _units(_published(text, language), by_character=False)
    plain = _plain(text)
    return _GRAPHEME.findall(plain.replace(" ", "")) if language in UNSPACED else plain.split()


def _levelled(text: str) -> str:
    """NFKC in small letters, without what is not seen: a sharp s is two of them, digits of any script are 0 to 9."""
    text = unicodedata.normalize("NFKC", ordered(text)).casefold()
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", ordered(text))
    return "".join(_digit(c) for c in text if unicodedata.category(c) != "Cf")


def _digit(character: str) -> str:
    value = None if character.isascii() else unicodedata.decimal(character, None)
    return character if value is None else str(value)


def _bare(text: str, language: str) -> str:
    """Without tags such as ``<|en|>``, and with single spaces, none before punctuation; Mandarin without any."""
    text = _SPACES.sub(" ", _without_tags(text))
    text = _SPACE_BEFORE.sub(r"\1", text).lstrip(" ")
    return _SPACES.sub("", text) if language == "zh" else text


def _without_tags(text: str) -> str:
    """``<|...|>`` within a line becomes a space; written out, since the pattern takes forever on open tags alone."""
    parts: list[str] = []
    done = at = 0
    closes = ends_line = -1
    while (opens := text.find("<|", at)) >= 0:
        if closes < opens + 2:
            closes = text.find("|>", opens + 2)
        if closes < 0:
            break
        if 0 <= ends_line < opens + 2 or ends_line == -1:
            ends_line = text.find("\n", opens + 2)
            ends_line = len(text) if ends_line < 0 else ends_line
        if ends_line < closes:
            at = opens + 1
            continue
        parts += (text[done:opens], " ")
        done = at = closes + 2
    return "".join([*parts, text[done:]])


def _published(text: str, language: str) -> str:
    if language == "zh":
        from opendasheng.evaluate.metrics.chinese import spoken

        return spoken(text)
    if language == "yue":
        text = _simplified(text)
    english, basic = _whisper()
    if language == "en":
        text = _normalised(english, text, english=True)
    return _normalised(basic, text, english=False)


def _normalised(normalise: Callable[[str], str], text: str, *, english: bool) -> str:
    try:
        return normalise(eased(text, english=english))
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
        # Odd strings of numbers ("1/0", runs of "point") break the English rules; the text then stays as it is.
        return text


def _strict_chinese(text: str) -> str:
    """Simplified, and with the numbers that the published rules misread: grouped digits, and minus signs."""
    from opendasheng.evaluate.metrics import chinese

    text = _simplified(text)
    text = _GROUPED.sub(lambda number: chinese.cardinal(number[0].replace(",", "")), _MINUS.sub(chinese.MINUS, text))
    return chinese.spoken(text)


def _plain(text: str) -> str:
    """Without bracketed asides; punctuation and symbols are spaces, marks stay with their letters."""
    kept = (" " if unicodedata.category(c)[0] in "PS" else c for c in _BRACKETED.sub("", tamed(text)))
    return _SPACES.sub(" ", "".join(kept)).strip()


def _units(text: str, *, by_character: bool) -> Units:
    kept = (token for token in text.split(" ") if not all(unicodedata.category(c)[0] == "P" for c in token))
    units = " ".join(kept).lower().split()
    return "".join(units) if by_character else units


@lru_cache(maxsize=1)
def _whisper() -> tuple[Callable[[str], str], Callable[[str], str]]:
    try:
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "error rates need the extra: pip install 'opendasheng[evaluate]' (it brings whisper-normalizer)"
        ) from error
    found = version("whisper-normalizer")
    if found != NORMALISER:
        raise EvaluationError(
            f"whisper-normalizer is {found}; error rates are defined by {NORMALISER}, and later ones change words "
            f"(LibriSpeech test-clean 3.713 instead of 3.719): pip install whisper-normalizer=={NORMALISER}"
        )
    english = EnglishTextNormalizer()
    quicken(english.standardize_numbers)
    return english, BasicTextNormalizer()


def _simplified(text: str) -> str:
    try:
        import zhconv
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "Cantonese needs the extra: pip install 'opendasheng[evaluate]' (it brings zhconv)"
        ) from error
    return str(zhconv.convert(text, "zh-cn"))

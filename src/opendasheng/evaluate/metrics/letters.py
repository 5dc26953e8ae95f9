"""Letters of a list of choices in an answer: alone, called the answer, set out as a list's items, or bare capitals.

A letter is no letter of the list where it is a word ("A piano"), part of one ("C#", "R&B", "B-flat", "A.I.") or the
name of a note or part ("the key of C", "section B"). Those that are denied are taken out first.
"""

import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

_WORD = "A-Za-z0-9_\u00c0-\u024f"  # other scripts write no space around a letter
# A few signs, possessive: a run of a million of them is neither opened at each of its places nor taken apart again.
_OPEN, _CLOSE = r"[(\[*\"'`]{0,4}+", r"[)\]*\"'`]{0,4}+"
_BEFORE = rf"(?<![{_WORD}#+&\u266f\u266d])(?<![{_WORD}][-.'&])"
_AFTER = rf"(?![{_WORD}#+\u266f\u266d])(?![-&'][{_WORD}])(?!\.[{_WORD}](?![{_WORD}]))"
_LETTER = rf"{_BEFORE}([A-Z]){_AFTER}"
# Capitals on their own after which, or before which, they are no letters of a list.
_NOT_BEFORE = (
    r"(?!\s+(?i:major|minor|maj|min|flat|sharp|natural|sections?|sides?|parts?|themes?|tuning|strings?|chords?|notes?|"
    r"key|dorian|phrygian|lydian|mixolydian|aeolian|locrian)\b)"
)
_NOT_AFTER = re.compile(
    r"\b(?:plan|vitamin|key of|key is|key|chord is|middle|cardi|mel|schedule|mr\.?|ms\.?|dr\.?|in|drop|notes?|"
    r"hepatitis|chords?|sections?|sides?|parts?|type|grade|strings?|r and|r\s*&)\s*:?\s+$",
    re.IGNORECASE,
)
# After a capital A or I these do not make it an article or a pronoun.
_JOINS = frozenset({"or", "and", "is", "because", "since", "as", "seems", "fits"})

_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_THINKING = re.compile(r"<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_MARK, _END_OF_MARK = re.compile("<answer>", re.IGNORECASE), re.compile("</answer>", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?([^{}]*)\}")

_ITEM = rf"{_OPEN}{_BEFORE}[A-Z]{_AFTER}{_CLOSE}"
_BETWEEN = r"(?>\s*(?:,\s*(?:(?:and|or|nor)\b)?|/|&|\b(?:and|or|nor)\b)\s*)"
# Possessive: a list is taken as a whole or not at all, so that no part of it is tried again.
_ITEMS = rf"(?>{_ITEM}(?:{_BETWEEN}{_ITEM}){{0,25}}+)"
_DENIED = re.compile(
    r"(?:(?i:\b(?:not|never|neither|nor|except|excluding|eliminat(?:e|ed|ing)|rul(?:e|ed|ing)\s+out|anything\s+but|"
    r"rather\s+than|instead\s+of|other\s+than|unlikely|cannot)|n't)(?i:(?:\s+to)?(?:\s+be)?\s+)"
    rf"(?i:(?:option|choice|answer|letter)s?\s+)?{_ITEMS})"
    rf"|(?:(?i:\b(?:option|choice|answer|letter)s?\s+)?{_ITEMS}\s+"
    r"(?i:(?:(?:is|are|was|were|can|could|may|would|should|does|do|seems?)\s+(?:be\s+)?(?:not|wrong|incorrect|unlikely|"
    r"excluded|eliminated|absent|impossible|ruled\s+out)|(?:is|are|was|were|do|does|ca|could|would)n't|cannot)\b))"
    rf"|[\u4e0d\u975e](?:\u662f|\u9009\u62e9?|\u9078\u64c7?)?\s*{_ITEMS}"  # Chinese: is not, do not choose
)
_CALLED = r"(?:\s+(?:is|would\s+be|should\s+be|must\s+be)|\s*[:=])?\s*(?:(?:option|choice|letter)\b\s*[:=]?\s*)?"
_CHOSEN = r"\b(?:choose|pick|select|go\s+with|say)\s+(?:(?:option|choice|letter)\s+)?"
_IN_CHINESE_OR_JAPANESE = (
    r"(?:\u7b54\u6848|\u6b63\u89e3|\u7b54\u3048|\u9009\u62e9?|\u9078\u64c7?)[\u662f\u4e3a\u70ba\u306f:]?\s*"
)
_ANSWER = re.compile(
    rf"(?:(?i:\banswer{_CALLED}|{_CHOSEN})|{_IN_CHINESE_OR_JAPANESE}){_OPEN}([A-Za-z]){_AFTER}",
)
_OPTION = re.compile(rf"(?i:\b(?:option|choice|letter)(?:\s+is|\s*[:=])?\s*){_OPEN}([A-Za-z]){_AFTER}")
_NOTHING_BEHIND = re.compile(r"[\W_]*(?:\n|$)")
_LEADING = re.compile(
    rf"^[^\S\n]*[*\"'`]*(?:[(\[]\s*([A-Za-z])\s*[)\]]"
    rf"|([A-Z]){_AFTER}\s*[*\"'`]*\s*(?:[).:,\]]|[-\u2013\u2014]\s))",
    re.MULTILINE,
)
_BRACKETED = re.compile(r"[(\[]\s*([A-Z])\s*[)\]]")
_INLINE = re.compile(r"(?:^|(?<=[\s,;]))([A-Z])[).:](?=\s)", re.MULTILINE)
_BARE = re.compile(f"{_LETTER}{_NOT_BEFORE}")
_JOINED = re.compile(rf"{_CLOSE}\s*(?:[,/&]|\bor\b|\band\b)\s*(?i:option\s+|choice\s+)?[(\[]?{_LETTER}")
_NEXT_WORD = re.compile(r"\s+([\w']+)")


class Letter(NamedTuple):
    """A letter as its place in the alphabet, from 0, and where in the text it ends."""

    number: int
    end: int


def final_answer(text: str) -> str:
    """What follows the last thought of a text, and of that what is marked as the answer, if anything is."""
    said = _after_last(_THOUGHT, text)
    if _THINKING.match(said.lstrip()) and _THOUGHT.search(said) is None:  # cut off before it said anything
        return ""
    end = _last(_END_OF_MARK, said)
    if end is not None:
        marked = _after_last(_MARK, said[: end.start()])
        if len(marked) < end.start() and marked.strip():
            return marked
    boxed = _last(_BOXED, said)
    return boxed[1] if boxed is not None and boxed[1].strip() else said


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None


def _after_last(pattern: re.Pattern[str], text: str) -> str:
    """What follows the last match, or all where there is none or nothing follows."""
    found = _last(pattern, text)
    behind = text if found is None else text[found.end() :]
    return behind if behind.strip() else text


def without_denied(text: str) -> str:
    """A text without the letters that it says are not the answer."""
    return _DENIED.sub(" ", text)


def answers(text: str) -> list[Letter]:
    """Letters that are called the answer, in their order."""
    return list(_named(_ANSWER, text))


def options(text: str) -> list[Letter]:
    """Letters that are called an option, choice or letter, in their order."""
    return list(_named(_OPTION, text))


def _named(pattern: re.Pattern[str], text: str) -> Iterator[Letter]:
    """Small letters count only where nothing follows in their line: "the answer is a song"."""
    for match in pattern.finditer(text):
        is_letter = not is_word(match[1], text, match.end())
        if is_letter and (match[1].isupper() or _NOTHING_BEHIND.match(text, match.end())):
            yield _group(match, 1)


def items(text: str) -> list[Letter]:
    """Letters that stand before a choice as in a list, or in brackets."""
    found = [_group(match, 1 if match[1] else 2) for match in _LEADING.finditer(text)]
    found += [_group(match, 1) for match in _BRACKETED.finditer(text)]
    if found:
        found += [_group(match, 1) for match in _INLINE.finditer(text)]
    return found


def _group(match: re.Match[str], group: int) -> Letter:
    return Letter(number_of(match[group]), match.end(group))


def capitals(text: str) -> list[Letter]:
    """Capitals on their own that are no word and no name of something else."""
    return [
        _group(match, 1)
        for match in _BARE.finditer(text)
        if not is_word(match[1], text, match.end())
        and not _NOT_AFTER.search(text, max(0, match.start() - 16), match.start())
    ]


def joined(text: str, letter: Letter) -> int | None:
    """The letter that is named together with one, as in "A or B"."""
    match = _JOINED.match(text, letter.end)
    return None if match is None or is_word(match[1], text, match.end()) else number_of(match[1])


def is_word(letter: str, text: str, end: int) -> bool:
    """Whether a capital A or I is an article or a pronoun: it is if a word follows that joins nothing."""
    after = _NEXT_WORD.match(text, end)
    return letter in "AI" and after is not None and after[1].lower() not in _JOINS


def number_of(letter: str) -> int:
    """0 for A and a."""
    return ord(letter.lower()) - ord("a")

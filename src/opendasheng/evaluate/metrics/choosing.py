"""The one choice that an answer means, by letter or by text, whatever it is wrapped in."""

import re
from collections.abc import Sequence

from opendasheng.evaluate.metrics import letters
from opendasheng.evaluate.metrics.letters import Letter
from opendasheng.evaluate.metrics.text import Finder, level, words

# What may stand around a letter without making it another sign (as "#" would).
_DRESS = r"[\s()\[\]{}.,:;!*\"'`_\\$]"
ALONE = re.compile(rf"{_DRESS}*([A-Za-z]){_DRESS}*")
_PREFIX = re.compile(r"^\s*(?:\([A-Za-z]\)|[A-Z][).:])\s*")
_THE = re.compile(r"\W*the\s")  # not one that begins a sentence
_OR = re.compile(r"\bor\b", re.IGNORECASE)
# "One" is more often somebody than a number.
_NUMBERS = {"zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8"}
_NUMBER = re.compile(rf"\b(?:{'|'.join(_NUMBERS)})\b", re.IGNORECASE)
# Of what follows a letter this much is looked at for the text of a choice.
_BEHIND = 200


def parse_choice(output: str, choices: Sequence[str], *, by_letter: bool = True) -> int | None:
    """Which choice an output means, or None when it means none, or several.

    What was thought before an answer, and what an answer denies, does not count. Looked for, in this order: an output
    that is nothing but a letter ("B", "(b).") or a choice; a first or last line that is a letter; the last letter that
    is called the answer; one that is called an option; one that stands before a choice as in a list; the text of a
    choice; a capital on its own. What is found first must be one choice: "A or B" is none, and neither is a letter
    with the text of another choice behind it. The article "a" is never a letter, and neither is the C of "C#".
    ``by_letter`` says that answers are letters; else the texts of the choices come first.
    """
    return _Choices(choices).parse(level(letters.final_answer(output)).strip(), by_letter)


class _Choices:
    """The rules of :func:`parse_choice` for one list of choices."""

    def __init__(self, choices: Sequence[str]) -> None:
        bare = [_PREFIX.sub("", choice) or choice for choice in choices]
        self._num = len(choices)
        self._spelled = [words(choice) for choice in bare]
        self._by_words = {spelled: i for i, spelled in reversed(list(enumerate(self._spelled)))}
        self._finder = Finder(bare)
        self._are_numbers = bool(bare) and all(choice.strip().isdigit() for choice in bare)

    def parse(self, text: str, by_letter: bool) -> int | None:
        if self._are_numbers:
            text = _NUMBER.sub(lambda match: _NUMBERS[match[0].lower()], text)
        whole, alone = self._by_words.get(words(text)), ALONE.fullmatch(text)
        if whole is not None and not (by_letter and alone):
            return whole
        if alone:
            return self._known(letters.number_of(alone[1]))
        by_line = self._by_line(text)
        if by_line:
            return by_line.pop() if len(by_line) == 1 else None
        kept = letters.without_denied(text)
        for find, decide in (
            (letters.answers, self._last),
            (letters.options, self._only),
            (letters.items, self._only),
        ):
            found = [letter for letter in find(kept) if letter.number < self._num]
            if found:
                return decide(kept, found)
        stated = self._finder.find(text)[0]
        if not stated:
            stated = frozenset(letter.number for letter in letters.capitals(kept) if letter.number < self._num)
        return next(iter(stated)) if len(stated) == 1 else None

    def _known(self, index: int) -> int | None:
        return index if index < self._num else None

    def _by_line(self, text: str) -> set[int]:
        """Letters that are the whole first or last line of several."""
        lines = text.splitlines()
        if len(lines) < 2:
            return set()
        found = (ALONE.fullmatch(line) for line in (lines[0], lines[-1]))
        return {index for match in found if match and (index := letters.number_of(match[1])) < self._num}

    def _last(self, text: str, found: list[Letter]) -> int | None:
        """The last of several that are called the answer, unless it is one or the other."""
        last = found[-1]
        if len(found) > 1 and found[-2].number != last.number and _OR.search(text, found[-2].end, last.end):
            return None
        return self._fitting(text, last)

    def _only(self, text: str, found: list[Letter]) -> int | None:
        return self._fitting(text, found[0]) if len({letter.number for letter in found}) == 1 else None

    def _fitting(self, text: str, letter: Letter) -> int | None:
        """The choice of a letter, unless another letter or the text of another choice stands right behind it."""
        other = letters.joined(text, letter)
        if other is not None and other != letter.number and other < self._num:
            return None
        snippet = text[letter.end : letter.end + _BEHIND]
        rest = words(snippet)
        own = (chr(ord("a") + letter.number), *rest)
        as_text = [i for i, spelled in enumerate(self._spelled) if len(spelled) > 1 and own[: len(spelled)] == spelled]
        if len(as_text) == 1:  # "C major" is a choice itself
            return as_text[0]
        if rest[:1] == ("is",):
            rest = rest[2:] if rest[1:2] in (("a",), ("an",), ("the",)) else rest[1:]
        elif rest[:1] in (("a",), ("an",)) or _THE.match(snippet):
            rest = rest[1:]
        behind = {i for i, spelled in enumerate(self._spelled) if spelled and rest[: len(spelled)] == spelled}
        if behind and letter.number not in behind and behind & self._finder.find(snippet)[0]:
            return None
        return letter.number

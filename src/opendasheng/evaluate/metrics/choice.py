"""Accuracy on multiple choice: which of the choices an answer means, by letter or by text."""

import re
import string
import unicodedata
from array import array
from collections.abc import Sequence
from typing import ClassVar

from opendasheng.evaluate.metrics.base import Metric, Outcome, Ratio, floats
from opendasheng.evaluate.metrics.text import Finder, words
from opendasheng.evaluate.rows import Row

_TOKEN = re.compile(r"\b\w+\b")
# What may stand around a letter without making it another sign (as "#" would).
_DRESS = r"[\s()\[\]{}.,:;!*\"'`_\\$]"
_ALONE = re.compile(rf"{_DRESS}*([A-Za-z]){_DRESS}*")
_NAMED = re.compile(
    r"\b(?:answer|option|choice|letter)(?:\s+(?:is|would\s+be|should\s+be)|\s*[:=])?\s*[(\[*\"'`]*(?-i:([A-Za-z]))(?![\w#+'\u266f\u266d])",
    re.IGNORECASE,
)
_LEADING = re.compile(r"^[^\S\n]*[*\"'`]*(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Z])\s*[*\"'`]*\s*[).:,\]])", re.MULTILINE)
_BRACKETED = re.compile(r"[(\[]\s*([A-Z])\s*[)\]]")
_BARE = re.compile("(?<![\\w#+'\u266f\u266d])([A-Z])(?![\\w#+'\u266f\u266d])(?:\\s+([\\w']+))?")
_DENIED = re.compile(
    r"(?:\b(?:not|never|neither|nor|except)|n't)\s+(?:option\s+|choice\s+|answer\s+|letter\s+)?[(\[]?([A-Z])[)\]]?(?![\w#+'])"
    r"|(?:\b(?:option|choice|answer|letter)\s+)?[(\[]?\b([A-Z])[)\]]?\s+is(?:n't|\s+(?:wrong|incorrect|not))\b",
    re.IGNORECASE,
)
_JOINED = re.compile(r"(?:[,/&]|\bor\b|\band\b)\s*[(\[]?([A-Z])(?![\w#+'\u266f\u266d])(?:\s+([\w']+))?")
_PREFIX = re.compile(r"^\s*(?:\([A-Za-z]\)|[A-Z][).:])\s*")
# After a capital A or I these do not make it an article or a pronoun.
_JOINS = frozenset({"or", "and", "is", "because", "since", "as", "seems", "fits"})


class ChoiceAccuracy(Metric):
    """Fields: ``choices`` (texts), ``answer`` (a letter, or the text of a choice), ``model_output``.

    ``compat``: all word tokens of the answer are in the output, and none that only a wrong choice has (the MMAU rule).
    With the option ``letters_to_text`` an output that is a letter is first replaced by that choice's text, and rows
    without output are left out, as the official MMAU scorer does. ``strict``: :func:`parse_choice` finds the one choice
    that is meant.
    """

    name: ClassVar[str] = "choice_accuracy"
    version: ClassVar[int] = 1
    parser: ClassVar[str] = "choice"
    option_names: ClassVar[frozenset[str]] = frozenset({"letters_to_text"})

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._as_text = bool(self.options.get("letters_to_text"))
        self._compat, self._counted, self._strict = array("b"), array("b"), array("b")
        self._num_unparsed = 0
        self._num_outside = 0

    def add(self, row: Row) -> None:
        """Take one answer."""
        answer, output, choices = row.text("answer"), row.text("model_output"), self._choices(row)
        if not answer.strip():
            raise row.error("field 'answer' is blank; it is a letter or the text of a choice")
        wanted = _index_of(answer, choices)
        self._num_outside += bool(choices) and wanted is None
        counted = bool(output.strip()) or not self._as_text
        truth, said = answer, output
        if self._as_text and wanted is not None:
            truth, letter = choices[wanted], _ALONE.fullmatch(output)
            index = _letter_index(letter[1]) if letter else len(choices)
            said = choices[index] if index < len(choices) else output
        self._counted.append(counted)
        self._compat.append(counted and _published(truth, said, choices))
        found = parse_choice(output, choices, by_letter=_is_letter(answer, choices))
        self._strict.append((found is not None and found == wanted) if choices else _contains(output, answer))
        self._num_unparsed += (found is None) if choices else not output.strip()

    @staticmethod
    def _choices(row: Row) -> list[str]:
        choices = row.fields.get("choices")
        return [] if choices == [] else row.texts("choices")

    def outcome(self) -> Outcome:
        """The accuracies."""
        num_skipped = len(self._counted) - sum(self._counted)
        notes = []
        if self._num_outside:
            notes.append(f"{self._num_outside} rows have an answer that is none of their choices: strictly wrong")
        if num_skipped:
            wrong = 100 * sum(self._compat) / len(self._compat)
            notes.append(
                f"compat leaves out {num_skipped} empty outputs, as MMAU's official scorer is described; a reading of "
                f"it that counts them as wrong gives {wrong:.2f}"
            )
        return Outcome(
            compat=Ratio(floats(self._compat), floats(self._counted)),
            strict=Ratio(floats(self._strict), floats([1.0]).repeat(len(self._strict))),
            row_scores=floats(self._strict),
            num_skipped=num_skipped,
            num_unparsed=self._num_unparsed,
            details={"right": sum(self._compat), "strict_right": sum(self._strict)},
            notes=tuple(notes),
        )


def _published(answer: str, output: str, choices: Sequence[str]) -> bool:
    wanted, said = (set(_TOKEN.findall(text.lower())) for text in (answer, output))
    wrong: set[str] = set()
    for choice in choices:
        tokens = set(_TOKEN.findall(choice.lower()))
        if tokens != wanted:
            wrong |= tokens - wanted
    return bool(said) and wanted <= said and not said & wrong


def parse_choice(output: str, choices: Sequence[str], *, by_letter: bool = True) -> int | None:
    """Which choice an output means, or None when it means none, or several.

    Looked for, in this order: an output that is nothing but a letter ("B", "(b)."); a letter that is called the answer
    ("the answer is B"); one that begins a line as a list's letters do ("B. Reggae"); one in brackets; the text of a
    choice; a capital on its own. The article "a" is never a letter, and neither is the C of "C#". What is found first
    must be one choice: "A or B" is none, a letter that is denied ("not A") does not count, and neither does one beside
    the text of another choice alone. ``by_letter`` says that answers are
    letters; else the texts of the choices come first.
    """
    text = unicodedata.normalize("NFKC", output).strip()
    bare = [_PREFIX.sub("", choice) or choice for choice in choices]
    by_words = {words(choice): i for i, choice in reversed(list(enumerate(bare)))}
    if not by_letter and words(text) in by_words:
        return by_words[words(text)]
    alone = _ALONE.fullmatch(text)
    if alone:
        return _within(_letter_index(alone[1]), choices)
    if words(text) in by_words:
        return by_words[words(text)]
    texts = Finder(bare).find(text)[0]
    text = _DENIED.sub(" ", text)
    named = {letter for letter, after in _named(text) if not _is_word(letter, after)}
    leading = {a or b for a, b in _LEADING.findall(text)}
    joined = {letter for letter, after in _JOINED.findall(text) if not _is_word(letter, after)}
    for letters in (named, leading, set(_BRACKETED.findall(text))):
        found = {i for letter in letters if (i := _letter_index(letter)) < len(choices)}
        if found:
            found |= {i for letter in joined if (i := _letter_index(letter)) < len(choices)}
            return found.pop() if len(found) == 1 and (not texts or found <= texts) else None
    if texts:
        return next(iter(texts)) if len(texts) == 1 else None
    capitals = {letter for letter, after in _BARE.findall(text) if not _is_word(letter, after)}
    found = {i for letter in capitals if (i := _letter_index(letter)) < len(choices)}
    return found.pop() if len(found) == 1 else None


def _named(text: str) -> list[tuple[str, str]]:
    """Letters that are called the answer, each with the word after it; small letters only where nothing follows."""
    found = []
    for match in _NAMED.finditer(text):
        after = re.match(r"\s+([\w']+)", text[match.end() :])
        if match[1].isupper() or not text[match.end() :].strip(string.whitespace + string.punctuation):
            found.append((match[1], after[1] if after else ""))
    return found


def _is_word(letter: str, after: str) -> bool:
    """Whether a capital A or I is an article or a pronoun: it is if a word follows that joins nothing."""
    return letter in "AI" and bool(after) and after.lower() not in _JOINS


def _contains(output: str, answer: str) -> bool:
    return bool(Finder([answer]).find(output)[0])


def _index_of(answer: str, choices: Sequence[str]) -> int | None:
    spelled = words(answer)
    by_text = [i for i, choice in enumerate(choices) if words(choice) == spelled]
    alone = _ALONE.fullmatch(unicodedata.normalize("NFKC", answer))
    if alone and not (by_text and len(choices) <= _letter_index(alone[1])):
        return _within(_letter_index(alone[1]), choices)
    return by_text[0] if by_text else None


def _is_letter(answer: str, choices: Sequence[str]) -> bool:
    alone = _ALONE.fullmatch(unicodedata.normalize("NFKC", answer))
    return bool(alone) and _within(_letter_index(alone[1]), choices) is not None  # type: ignore[index]


def _letter_index(letter: str) -> int:
    return ord(letter.lower()) - ord("a")


def _within(index: int, choices: Sequence[str]) -> int | None:
    return index if index < len(choices) else None

"""Accuracy on multiple choice: which of the choices an answer means, by letter or by text."""

import re
import unicodedata
from array import array
from collections.abc import Sequence
from typing import ClassVar

from opendasheng.evaluate.metrics.base import Metric, Outcome, Ratio, floats
from opendasheng.evaluate.metrics.choosing import ALONE, parse_choice
from opendasheng.evaluate.metrics.letters import number_of
from opendasheng.evaluate.metrics.text import Finder, words
from opendasheng.evaluate.rows import Row

_TOKEN = re.compile(r"\b\w+\b")


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
            truth, letter = choices[wanted], ALONE.fullmatch(output)
            index = number_of(letter[1]) if letter else len(choices)
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


def _contains(output: str, answer: str) -> bool:
    return bool(Finder([answer]).find(output)[0])


def _index_of(answer: str, choices: Sequence[str]) -> int | None:
    spelled = words(answer)
    by_text = [i for i, choice in enumerate(choices) if words(choice) == spelled]
    alone = ALONE.fullmatch(unicodedata.normalize("NFKC", answer))
    if alone and not (by_text and len(choices) <= number_of(alone[1])):
        return _within(number_of(alone[1]), choices)
    return by_text[0] if by_text else None


def _is_letter(answer: str, choices: Sequence[str]) -> bool:
    alone = ALONE.fullmatch(unicodedata.normalize("NFKC", answer))
    return bool(alone) and _within(number_of(alone[1]), choices) is not None  # type: ignore[index]


def _within(index: int, choices: Sequence[str]) -> int | None:
    return index if index < len(choices) else None

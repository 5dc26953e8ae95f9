"""Word and character error rates over a corpus: edits of all utterances over the length of all references."""

from array import array
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import ClassVar

import numpy as np

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics.base import Metric, Outcome, Ratio, floats
from opendasheng.evaluate.metrics.transcript import NORMALISER, Units, published_units, strict_units
from opendasheng.evaluate.rows import Row

# Beyond this many cells an alignment takes gigabytes; the distance alone does not.
_ALIGNMENT_CELLS = 10**8


class WordErrorRate(Metric):
    """Fields: ``text`` (the transcript), ``model_output``, ``lang`` (chooses the normalisation, row by row).

    ``compat`` leaves out utterances whose normalised reference or answer is empty, as published. ``strict`` counts
    them: no answer deletes every word, and words for a silent reference are insertions. Where all rows together have
    no reference word the strict figure is 100 percent if anything was answered, else 0.
    """

    name: ClassVar[str] = "wer"
    version: ClassVar[int] = 1
    parser: ClassVar[str] = "transcript"
    higher_is_better: ClassVar[bool] = False

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._compat = array("q"), array("q")  # edits, reference units; 0 and 0 where skipped
        self._strict = array("q"), array("q")
        self._kinds = [0, 0, 0]  # substitutions, deletions, insertions of compat
        self._num_skipped = 0
        self._num_unparsed = 0
        self._languages: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        """Take one utterance."""
        truth, answer, language = row.text("text"), row.text("model_output"), row.text("lang")
        if not language.strip():
            raise row.error("field 'lang' is blank; it is a code such as en, zh or th")
        self._languages[language] += 1
        wanted, found = self._units(published_units, truth, language), self._units(published_units, answer, language)
        if wanted and found:
            edits = self._align(wanted, found)
            self._note(self._compat, edits, len(wanted))
        else:
            self._num_skipped += 1
            self._note(self._compat, 0, 0)
        strictly_wanted = self._units(strict_units, truth, language)
        strictly_found = self._units(strict_units, answer, language)
        same = (strictly_wanted, strictly_found) == (wanted, found)
        strict = edits if same and wanted and found else _distance(strictly_wanted, strictly_found)
        self._note(self._strict, strict, len(strictly_wanted))
        self._num_unparsed += not strictly_found and bool(strictly_wanted)

    @staticmethod
    def _units(split: Callable[[str, str], Units], text: str, language: str) -> Units:
        """What is counted: words, and characters in languages that are written without spaces."""
        return split(text, language)

    def _align(self, wanted: Units, found: Units) -> int:
        if len(wanted) * len(found) > _ALIGNMENT_CELLS:
            return _distance(wanted, found)
        edits = _rapidfuzz().editops(wanted, found)
        for edit in edits:
            self._kinds[("replace", "delete", "insert").index(edit.tag)] += 1
        return len(edits)

    @staticmethod
    def _note(columns: "tuple[array[int], array[int]]", edits: int, length: int) -> None:
        columns[0].append(edits)
        columns[1].append(length)

    def outcome(self) -> Outcome:
        """The error rates; lower is better."""
        (edits, lengths), (strict_edits, strict_lengths) = self._compat, self._strict
        above, below = floats(strict_edits), floats(strict_lengths)
        substitutions, deletions, insertions = self._kinds
        details = {
            "errors": sum(edits),
            "reference_units": sum(lengths),
            "substitutions": substitutions,
            "deletions": deletions,
            "insertions": insertions,
            "strict_errors": sum(strict_edits),
            "strict_reference_units": sum(strict_lengths),
            "languages": dict(sorted(self._languages.items())),
            "normaliser": f"whisper-normalizer {NORMALISER}",
        }
        notes = (f"{self._num_skipped} utterances are left out as published",) if self._num_skipped else ()
        return Outcome(
            # All utterances skipped: the published script divides by zero; nothing was recognised, so all is wrong.
            compat=Ratio(floats(edits), floats(lengths), empty=1.0),
            strict=Ratio(above, below, empty=float(above.any())),
            row_scores=1 - above / np.maximum(below, 1),
            num_skipped=self._num_skipped,
            num_unparsed=self._num_unparsed,
            details=details,
            notes=notes,
        )


class CharacterErrorRate(WordErrorRate):
    """The same by characters in every language, one space between words: tells a near miss from another word."""

    name: ClassVar[str] = "cer"

    @staticmethod
    def _units(split: Callable[[str, str], Units], text: str, language: str) -> Units:
        units = split(text, language)
        return units if isinstance(units, str) else " ".join(units)


def _distance(wanted: Units, found: Units) -> int:
    return int(_rapidfuzz().distance(wanted, found))


def _rapidfuzz() -> ModuleType:
    try:
        from rapidfuzz.distance import Levenshtein
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "error rates need the extra: pip install 'opendasheng[evaluate]' (it brings rapidfuzz)"
        ) from error
    return Levenshtein

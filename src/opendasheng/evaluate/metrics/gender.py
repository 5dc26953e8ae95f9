"""Accuracy of the speaker's gender, read from answers that may be sentences."""

from array import array
from typing import ClassVar

from opendasheng.evaluate.metrics.base import Metric, Outcome, Ratio, floats
from opendasheng.evaluate.metrics.text import Finder, words
from opendasheng.evaluate.rows import Row

_MALE = ("male", "males", "man", "men", "boy", "boys", "gentleman", "gentlemen", "guy", "masculine")
_FEMALE = ("female", "females", "woman", "women", "girl", "girls", "lady", "ladies", "feminine")
_FINDER = Finder((*_MALE, *_FEMALE))


class GenderAccuracy(Metric):
    """Fields: ``label`` (male or female, in a list), ``model_output``.

    ``compat``: "male" without "female" in the answer is male, "female" without another "male" is female, all else is
    compared as it stands. ``strict``: whole words, "man", "woman" and the like as well; a gender that is denied is the
    other one, and an answer with both or neither is none.
    """

    name: ClassVar[str] = "gender_accuracy"
    version: ClassVar[int] = 1
    parser: ClassVar[str] = "gender"

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._compat, self._strict = array("b"), array("b")
        self._num_unparsed = 0

    def add(self, row: Row) -> None:
        """Take one answer."""
        label, answer = row.texts("label")[0], row.text("model_output")
        self._compat.append(label.lower().strip() == _published(answer.lower().strip()))
        wanted, found = parse_gender(label), parse_gender(answer)
        self._strict.append(found == wanted if wanted else words(answer) == words(label))
        self._num_unparsed += found is None

    def outcome(self) -> Outcome:
        """The accuracies."""
        ones = floats([1.0]).repeat(len(self._compat))
        return Outcome(
            compat=Ratio(floats(self._compat), ones),
            strict=Ratio(floats(self._strict), ones),
            row_scores=floats(self._strict),
            num_unparsed=self._num_unparsed,
            details={"right": sum(self._compat), "strict_right": sum(self._strict)},
        )


def _published(answer: str) -> str:
    if "male" in answer and "female" not in answer:
        return "male"
    if "female" in answer and "male" not in answer.replace("female", ""):
        return "female"
    return answer


def parse_gender(answer: str) -> str | None:
    """ "male", "female", or None for an answer that states both or neither."""
    stated, denied = ({"male" if n < len(_MALE) else "female" for n in found} for found in _FINDER.find(answer))
    if not stated and len(denied) == 1:
        return "male" if denied == {"female"} else "female"
    return stated.pop() if len(stated) == 1 else None

"""Accuracy of the speaker's gender, read from answers that may be sentences."""

import re
from array import array
from typing import ClassVar

from opendasheng.evaluate.metrics.base import Metric, Outcome, Ratio, floats
from opendasheng.evaluate.metrics.text import Finder, words
from opendasheng.evaluate.rows import Row

_ENGLISH_MALE = ("male", "man", "boy", "gentleman", "gentlemen", "guy", "dude", "masculine", "father", "mr")
_ENGLISH_FEMALE = ("female", "woman", "girl", "lady", "feminine", "mother", "mrs", "ms")
# A model may answer in the language that it hears: Spanish, French, German, Russian.
_MALE = (
    *_ENGLISH_MALE,
    *("hombre", "masculino", "homme", "masculin", "mann", "m\u00e4nnlich"),
    *("\u043c\u0443\u0436\u0447\u0438\u043d\u0430", "\u043c\u0443\u0436\u0441\u043a\u043e\u0439"),
)
_FEMALE = (
    *_ENGLISH_FEMALE,
    *("mujer", "femenino", "femme", "f\u00e9minin", "frau", "weiblich"),
    *("\u0436\u0435\u043d\u0449\u0438\u043d\u0430", "\u0436\u0435\u043d\u0441\u043a\u0438\u0439"),
)
# Chinese and Japanese write no spaces: man and woman, with what may deny them before (is not; not).
_HAN = re.compile("(?P<denied>[\u4e0d\u975e]\u662f?)?(?:(?P<male>\u7537)|\u5973)")
# An answer may speak of somebody else with these, so they count where no other word does.
_HE, _SHE = ("he", "his", "him"), ("she", "her", "hers")
_FINDERS = tuple((len(male), Finder((*male, *female))) for male, female in ((_MALE, _FEMALE), (_HE, _SHE)))
# With one of these a gender is not denied but left open.
_OPEN = frozenset(
    {"whether", "if", "sure", "certain", "unsure", "unclear", "say", "tell", "identified", "determined", "identify"}
    | {"determine"}
)
_LETTERS = {("m",): "male", ("f",): "female"}


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
    spelled = words(answer)
    if spelled in _LETTERS:
        return _LETTERS[spelled]
    han = {("male" if match["male"] else "female", bool(match["denied"])) for match in _HAN.finditer(answer)}
    if han:
        return _decided({g for g, denied in han if not denied}, {g for g, denied in han if denied})
    for num_male, finder in _FINDERS:
        stated, denied = ({"male" if n < num_male else "female" for n in found} for found in finder.find(answer))
        if denied and not stated and _OPEN & set(spelled):
            return None
        if stated or denied:
            return _decided(stated, denied)
    return None


def _decided(stated: set[str], denied: set[str]) -> str | None:
    """The one gender that is stated, or the other of the one that is denied."""
    if not stated and len(denied) == 1:
        return "male" if denied == {"female"} else "female"
    return stated.pop() if len(stated) == 1 else None

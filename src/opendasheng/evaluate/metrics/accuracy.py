"""Single-label accuracy: the share of answers that name the label of their clip."""

from array import array
from typing import ClassVar

from opendasheng.evaluate.metrics.answers import Lists, Texts
from opendasheng.evaluate.metrics.base import Metric, Outcome, Ratio, floats
from opendasheng.evaluate.metrics.text import Finder
from opendasheng.evaluate.rows import Row


class LabelAccuracy(Metric):
    """Fields: ``label`` (a list, of which ``compat`` knows the first), ``model_output``.

    ``compat``: the label stands anywhere in the answer, even inside another word. ``strict``: of all labels of the
    file (and those of the option ``labels``) the answer names, by whole words, labels of this row and no other.
    """

    name: ClassVar[str] = "accuracy"
    version: ClassVar[int] = 1
    parser: ClassVar[str] = "label"
    option_names: ClassVar[frozenset[str]] = frozenset({"labels"})

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._labels, self._answers = Texts(), Texts()
        self._wanted = Lists()
        self._given = array("q")
        self._compat = array("b")

    def add(self, row: Row) -> None:
        """Take one answer."""
        labels, answer = row.texts("label"), row.text("model_output")
        self._compat.append(labels[0].lower().strip() in answer.lower().strip())
        self._wanted.add([self._labels.number(label) for label in labels])
        self._given.append(self._answers.number(answer))

    def outcome(self) -> Outcome:
        """The accuracies."""
        names = sorted({*self._labels.all(), *self.options.get("labels", ())})
        finder = Finder(names)
        place = {name: i for i, name in enumerate(names)}
        of_label = [finder.find(label)[0] or frozenset({place[label]}) for label in self._labels.all()]
        of_answer = [finder.find(answer)[0] for answer in self._answers.all()]
        right = array("b")
        num_unparsed = num_several = 0
        for row, given in enumerate(self._given):
            found = of_answer[given]
            wanted = frozenset().union(*(of_label[label] for label in self._wanted[row]))
            right.append(bool(found) and found <= wanted)
            num_unparsed += not found
            num_several += len(found) > 1 and not found <= wanted
        ones = floats([1.0]).repeat(len(right))
        return Outcome(
            compat=Ratio(floats(self._compat), ones),
            strict=Ratio(floats(right), ones),
            row_scores=floats(right),
            num_unparsed=num_unparsed,
            details={
                "right": sum(self._compat),
                "strict_right": sum(right),
                "num_labels": finder.num_names,
                "num_several_labels": num_several,
            },
        )

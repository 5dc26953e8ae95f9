"""The metrics by name; each lives in a file of its own, which is imported when it is asked for. None loads torch."""

from importlib import import_module
from typing import Any

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics.base import Metric, Resources

# name -> module and class
METRICS = {
    "wer": ("wer", "WordErrorRate"),
    "cer": ("wer", "CharacterErrorRate"),
    "accuracy": ("accuracy", "LabelAccuracy"),
    "gender_accuracy": ("gender", "GenderAccuracy"),
    "choice_accuracy": ("choice", "ChoiceAccuracy"),
    "multi_label_map": ("multilabel", "MultiLabelMAP"),
    "sbert": ("sbert", "SentenceSimilarity"),
    "fense": ("fense", "Fense"),
    "date": ("date", "Date"),
    "bleu": ("bleu", "Bleu"),
    "corpus_bleu": ("corpus_bleu", "CorpusBleu"),
}


def metric_class(name: str) -> type[Metric]:
    """The class of a metric; :class:`EvaluationError` that lists them for an unknown name."""
    if name not in METRICS:
        raise EvaluationError(f"there is no metric {name!r}; there are {', '.join(METRICS)}")
    module, attribute = METRICS[name]
    found: type[Metric] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return found


def make_metric(
    name: str, version: int, options: dict[str, Any] | None = None, resources: Resources | None = None
) -> Metric:
    """A new, empty metric of this version; :class:`EvaluationError` where this release has another one."""
    found = metric_class(name)
    if version != found.version:
        raise EvaluationError(
            f"metric {name}@{version} is not in this release, which has {name}@{found.version}; "
            "figures of different versions cannot be compared"
        )
    unknown = sorted(set(options or {}) - found.option_names)
    if unknown:
        known = ", ".join(sorted(found.option_names)) or "none"
        raise EvaluationError(f"metric {name} has no option {unknown[0]!r}; it has {known}")
    return found(options, resources)

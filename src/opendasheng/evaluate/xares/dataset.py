"""What a task is scored on: samples with a label and audio, in splits; and the labels as numbers.

Shapes: N items, C classes, T frames.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.metrics import frames_of
from opendasheng.evaluate.xares.tasks import Task

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One clip: its name, the JSON that lies beside it in X-ARES's format, and its audio (float32 ``(S,)``, 16 kHz)."""

    key: str
    json: Any
    audio: Callable[[], Audio]


@dataclass(frozen=True)
class Split:
    """Samples in a fixed order. ``fingerprint`` changes with the samples and their audio; ``notes`` say what is not
    among them, and why.
    """

    samples: tuple[Sample, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()


class Dataset(Protocol):
    """Where the splits of one task come from."""

    task: Task

    def split(self, name: str) -> Split:
        """The samples of a split of the task, by the name it has in ``task.splits``."""
        ...


class Remembered:
    """A data set whose splits are made once, for several encoders to be scored on."""

    def __init__(self, dataset: Dataset) -> None:
        self.task = dataset.task
        self._dataset = dataset
        self._splits: dict[str, Split] = {}

    def split(self, name: str) -> Split:
        """The split, as the data set makes it."""
        if name not in self._splits:
            self._splits[name] = self._dataset.split(name)
        return self._splits[name]


class Event(NamedTuple):
    """A class that is heard from ``onset`` to ``offset``, in seconds."""

    onset: float
    offset: float
    name: str


def label_of(task: Task, sample: Sample) -> Any:
    """What the JSON of a sample says of it.

    A text for clip, asr and spelling tasks (numbers become texts), a tuple of texts for tags and retrieval, a tuple of
    :class:`Event` for frame tasks. Raises :class:`EvaluationError` that names the sample and the key.
    """
    label = task.label
    if label.events is not None:
        return tuple(_events(task, sample))
    if not isinstance(sample.json, dict):
        raise _error(task, sample, f"its JSON is a {type(sample.json).__name__}, not an object")
    if label.key == "*":
        value: Any = list(sample.json.values())
    elif label.key in sample.json:
        value = sample.json[label.key]
    else:
        raise _error(
            task, sample, f"its JSON has no {label.key!r}, only {', '.join(map(repr, sample.json)) or 'nothing'}"
        )
    if task.kind == "retrieval":
        captions = [value] if isinstance(value, str) else value
        if (
            not isinstance(captions, list)
            or not all(isinstance(c, str) and c.strip() for c in captions)
            or not captions
        ):
            raise _error(task, sample, f"{value!r} is no list of captions")
        return tuple(captions)
    if not isinstance(value, str | int | float):
        raise _error(task, sample, f"{label.key!r} is {value!r}, not a text or a number")
    return tuple(str(value).split(label.separator)) if task.kind == "tags" else str(value)


def _events(task: Task, sample: Sample) -> Iterable[Event]:
    label = task.label
    assert label.events is not None
    onset, offset = label.events
    if not isinstance(sample.json, list):
        raise _error(task, sample, f"its JSON is a {type(sample.json).__name__}, not a list of events")
    for event in sample.json:
        try:
            names = str(event[label.key])
            found = [name for name in (names.split(label.separator) if label.separator else [names]) if name]
            yield from (Event(float(event[onset]), float(event[offset]), name) for name in found)
        except (KeyError, TypeError, ValueError) as error:
            wanted = f"{onset!r}, {offset!r} and {label.key!r}"
            raise _error(task, sample, f"the event {event!r} does not hold {wanted}") from error


def _error(task: Task, sample: Sample, message: str) -> EvaluationError:
    return EvaluationError(f"{task.name}: sample {sample.key}: {message}; the data are not those of this task")


def classes_of(task: Task, labels: Iterable[Any]) -> tuple[str, ...]:
    """Every class that the labels name, in order of the alphabet, and a name for each other class of the task.

    Raises :class:`EvaluationError` for more classes than the task has.
    """
    if task.kind == "clip":
        found = set(labels)
    elif task.kind == "tags":
        found = {name for names in labels for name in names}
    else:
        found = {event.name for events in labels for event in events}
    total = task.label.num_classes or len(found)
    if len(found) > total:
        raise EvaluationError(
            f"{task.name}: the data name {len(found)} classes, among them {sorted(found)[0]!r}, where the task has "
            f"{total}; the data are not those of this task"
        )
    return (*sorted(found), *(f"(unseen {number})" for number in range(total - len(found))))


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """The number of each clip's class: int64 ``(N,)``."""
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[label] for label in labels], dtype=np.int64)


def tag_matrix(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """1 where a clip has a tag: float32 ``(N, C)``."""
    numbers = {name: number for number, name in enumerate(classes)}
    matrix = np.zeros((len(labels), len(classes)), dtype=np.float32)
    for row, names in enumerate(labels):
        matrix[row, [numbers[name] for name in names]] = 1.0
    return matrix


def frame_matrix(
    events: Sequence[Event], classes: Sequence[str], num_frames: int, hop_seconds: float
) -> npt.NDArray[np.float32]:
    """1 where a class is heard: float32 ``(T, C)``. Onset and offset are both rounded up to a frame."""
    numbers = {name: number for number, name in enumerate(classes)}
    matrix = np.zeros((num_frames, len(classes)), dtype=np.float32)
    for event in events:
        matrix[frames_of(event.onset, hop_seconds) : frames_of(event.offset, hop_seconds), numbers[event.name]] = 1.0
    return matrix

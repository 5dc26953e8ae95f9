"""What a trained model can do on the test split, next to what it would score without listening.

Every answer is scored three times: for the right audio, for the audio of another clip of the same task (shuffled), and
for the answer that is most common in training. Only the first can use what is to be heard, so the differences are what
the audio is worth; their intervals come from a bootstrap over clips.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardReader
from opendasheng.data.tasks import examples
from opendasheng.engine import Engine
from opendasheng.errors import AudioError, CorpusError, DashengError

log = logging.getLogger(__name__)

_BOOTSTRAPS = 2000
_ANSWER_TOKENS = 64
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class TaskResult:
    """Mean scores of one task, in percent; ``gain`` is right minus shuffled audio, with its 95 % interval."""

    task: str
    metric: str
    num_clips: int
    score: float
    shuffled: float
    majority: float
    gain: float
    gain_low: float
    gain_high: float


@dataclass(frozen=True)
class Question:
    """One test item: a clip, its question, and every right answer to it."""

    clip: int
    prompt: str
    answers: tuple[str, ...]


def test_model(engine: Engine, corpus: str, tasks: Sequence[str], *, per_task: int, seed: int) -> list[TaskResult]:
    """Score ``engine`` on at most ``per_task`` test clips of each of ``tasks``, the same ones for the same ``seed``."""
    train, test = ShardReader(corpus, split="train"), ShardReader(corpus, split="test")
    results = []
    for task in tasks:
        questions = [question for question in _questions(test.clips, task, per_task, seed) if _readable(test, question)]
        if len(questions) > 1:
            results.append(_test_task(engine, test, task, questions, majority_answer(train.clips, task), seed))
    return [result for result in results if result is not None]


def _questions(clips: Sequence[Clip], task: str, limit: int, seed: int) -> list[Question]:
    """Test items of a task, spread evenly over sources so that the largest does not decide the score."""
    by_source: dict[str, list[Question]] = {}
    for index in np.random.default_rng(seed).permutation(len(clips)):
        clip = clips[int(index)]
        of_task = [example for example in examples(clip) if example.task == task]
        if of_task:
            answers = tuple(example.answer for example in of_task)
            by_source.setdefault(clip.source, []).append(Question(int(index), of_task[0].prompt, answers))
    chosen: list[Question] = []
    while by_source and len(chosen) < limit:
        for source in sorted(by_source):
            chosen.append(by_source[source].pop())
            if not by_source[source]:
                del by_source[source]
    return chosen[:limit]


def _readable(reader: ShardReader, question: Question) -> bool:
    try:
        reader.audio(question.clip)
    except CorpusError as error:
        log.warning("left out of the test: %s", error)
        return False
    return True


def majority_answer(clips: Sequence[Clip], task: str) -> str:
    """The most common answer to a task in ``clips``, the first in the alphabet among equals; "" where none has one."""
    counts = Counter(e.answer for clip in clips for e in examples(clip) if e.task == task)
    return min(counts, key=lambda answer: (-counts[answer], answer), default="")


def _test_task(
    engine: Engine, reader: ShardReader, task: str, questions: list[Question], majority: str, seed: int
) -> TaskResult | None:
    """Scores of the questions that the engine takes, of their own clip and of another; None for less than two."""
    name, score = METRICS[task]
    answers = _answers(engine, reader, questions, [question.clip for question in questions])
    heard = [(question, answer) for question, answer in zip(questions, answers, strict=True) if answer is not None]
    questions = [question for question, _ in heard]
    misheard = _answers(engine, reader, questions, [questions[i].clip for i in derangement(len(questions), seed)])
    told = [(*right, wrong) for right, wrong in zip(heard, misheard, strict=True) if wrong is not None]
    if len(told) < 2:
        return None
    right, wrong, fixed = (
        np.array([score(answer, question.answers) for question, answer in given])
        for given in (
            [(question, answer) for question, answer, _ in told],
            [(question, answer) for question, _, answer in told],
            [(question, majority) for question, _, _ in told],
        )
    )
    low, high = bootstrap_interval(right - wrong, seed)
    percent = [100 * float(x) for x in (right.mean(), wrong.mean(), fixed.mean(), (right - wrong).mean(), low, high)]
    return TaskResult(task, name, len(told), *percent)


def _answers(engine: Engine, reader: ShardReader, questions: list[Question], clips: list[int]) -> list[str | None]:
    """Greedy answers to the questions about ``clips``; nothing for a clip that is too short to be heard, and None for
    what the engine refuses otherwise, as a conversation that its decoder cannot hold, which is told."""
    results = engine.generate(
        [reader.audio(clip) for clip in clips],
        [question.prompt for question in questions],
        max_new_tokens=_ANSWER_TOKENS,
        on_error="return",
    )
    answers: list[str | None] = []
    for question, result in zip(questions, results, strict=True):
        if isinstance(result, DashengError) and not isinstance(result, AudioError):
            log.warning("left out of the test: %s: %s", reader.where(question.clip), result)
            answers.append(None)
        else:
            answers.append("" if isinstance(result, AudioError) else result.text)
    return answers


def derangement(count: int, seed: int) -> list[int]:
    """A shuffle of ``range(count)`` that leaves nothing in its place: one cycle through a random order."""
    order = np.random.default_rng([seed, count]).permutation(count)
    moved = np.empty(count, dtype=int)
    moved[order] = np.roll(order, 1)
    return [int(i) for i in moved]


def bootstrap_interval(differences: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % interval of the mean, by resampling clips."""
    random = np.random.default_rng([seed, 1])
    means = [random.choice(differences, len(differences)).mean() for _ in range(_BOOTSTRAPS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return _WORD.findall(text.lower())


def exact(answer: str, truths: Sequence[str]) -> float:
    """1 when the answer is one of the truths, up to case and punctuation."""
    return float(any(words(answer) == words(truth) for truth in truths))


def label_f1(answer: str, truths: Sequence[str]) -> float:
    """F1 between the sets of labels, which are separated by ``;``; the best over the truths."""
    return max(_f1(Counter(_labels(answer)), Counter(_labels(truth))) for truth in truths)


def word_f1(answer: str, truths: Sequence[str]) -> float:
    """F1 between the words of answer and truth, counted as often as they stand there; the best over the truths."""
    return max(_f1(Counter(words(answer)), Counter(words(truth))) for truth in truths)


def word_accuracy(answer: str, truths: Sequence[str]) -> float:
    """1 minus the word error rate, not below 0; the best over the truths."""
    return max(max(0.0, 1 - edit_distance(words(answer), words(t)) / max(1, len(words(t)))) for t in truths)


def edit_distance(found: Sequence[str], wanted: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn one into the other."""
    row = list(range(len(wanted) + 1))
    for i, a in enumerate(found, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(wanted, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def _labels(text: str) -> set[str]:
    return {label.strip().lower() for label in text.split(";") if label.strip()}


def _f1(found: Counter[str], wanted: Counter[str]) -> float:
    common = (found & wanted).total()
    return 2 * common / max(1, found.total() + wanted.total())


METRICS: dict[str, tuple[str, Callable[[str, Sequence[str]], float]]] = {
    "caption": ("word F1", word_f1),
    "transcribe": ("word accuracy", word_accuracy),
    "translate": ("word F1", word_f1),
    "tag": ("label F1", label_f1),
    "kind": ("accuracy", exact),
    "language": ("accuracy", exact),
    "gender": ("accuracy", exact),
    "ask": ("word F1", word_f1),
}


def as_rows(results: Sequence[TaskResult]) -> list[dict[str, object]]:
    """For JSON."""
    return [asdict(result) for result in results]

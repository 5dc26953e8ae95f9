"""Who answers: our engine, and what other kinds of models have in common with it."""

import math
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from opendasheng.audio import Waveform, load_audio
from opendasheng.errors import DashengError, EvaluationError
from opendasheng.evaluate.asking import Question

if TYPE_CHECKING:
    from opendasheng.engine import Engine
    from opendasheng.evaluate.task import Task

# The published scorers know models by these words in model_name.
DISPLAY = {"midashenglm": "MiDashengLM", "qwen2.5-omni": "Qwen2.5-Omni", "kimi-audio": "Kimi-Audio"}
_PATTERNS = {
    "midashenglm": r"midasheng|^mini$",
    "qwen2.5-omni": r"qwen[\W_]?2[\W_]?5[\W_]?omni",
    "kimi-audio": r"kimi[\W_]?audio|moonshot[\W_]?kimi",
}


# The longest clip that is taken unasked, as the engine does; inf is no limit.
MAX_SECONDS = 300.0


@dataclass(frozen=True)
class Reply:
    """An answer. ``finish_reason`` is "length" where it was cut at ``max_new_tokens``, else "stop"."""

    text: str
    duration_seconds: float
    finish_reason: str = "stop"


Outcome = Reply | DashengError


class Answerer(Protocol):
    """A model that can be asked.

    ``model_name`` is what rows call it, ``family`` whose prompts it is asked by default, ``fingerprint`` tells it from
    others, weights, backend and precision included.
    """

    model_name: str
    family: str
    fingerprint: str

    def generation(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """How it decodes, given what task and user ask for; :class:`ConfigError` for what it cannot do."""
        ...

    def answers(self, questions: Iterable[Question], generation: Mapping[str, Any]) -> Iterator[tuple[int, Outcome]]:
        """``(number, answer or error)`` of each question as they are done; questions are drawn as they are needed."""
        ...


@runtime_checkable
class TaskBound(Protocol):
    """What answers a task in a way of its own."""

    def of(self, task: "Task") -> Answerer:
        """The one who answers this task; :class:`EvaluationError` where it cannot be answered."""
        ...


def family_of(name: str) -> str | None:
    """Which of :data:`DISPLAY` a model of this name, path or model_type is; None where the name tells nothing."""
    for family, pattern in _PATTERNS.items():
        if re.search(pattern, name, re.IGNORECASE):
            return family
    return None


def display_name(name: str, family: str) -> str:
    """What rows call a model: the last part of its name, with the word that scorers know it by."""
    base = name.rstrip("/").rpartition("/")[2] or name
    word = DISPLAY[family]
    pattern = _PATTERNS[family].partition("|")[0] if family != "midashenglm" else "midashenglm"
    spelled = re.sub(pattern, word, base, count=1, flags=re.IGNORECASE)
    return spelled if word in spelled else f"{word} ({base})"


def full_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """All of :class:`GenerationOptions`; what is not given is at its default. Raises :class:`ConfigError`."""
    from opendasheng.model.generation import GenerationOptions

    return asdict(GenerationOptions.of(options))


class EngineAnswerer:
    """A MiDashengLM on this machine. It is loaded when the first question comes."""

    family = "midashenglm"

    def __init__(
        self,
        name: str = "mini",
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        offline: bool | None = None,
        batch_size: int | None = None,
        max_seconds: float = MAX_SECONDS,
        engine: "Engine | None" = None,
    ) -> None:
        """``engine`` is that model, where it is loaded already.

        Raises :class:`CheckpointError` for a model that is not there.
        """
        from opendasheng import hub

        self._folder = hub.resolve(name, revision, offline)
        self._device, self._dtype = device, dtype
        self._batch_size, self._limit = batch_size, seconds_limit(max_seconds)
        self._engine = engine
        self.model_name = display_name(name if revision is None else f"{name}@{revision}", self.family)
        self.fingerprint = f"engine {hub.fingerprint(self._folder)} {dtype}"

    def generation(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All of the engine's options."""
        return full_options(options)

    def answers(self, questions: Iterable[Question], generation: Mapping[str, Any]) -> Iterator[tuple[int, Outcome]]:
        """See :class:`Answerer`. A clip that cannot be opened is an error of its own; the rest goes on."""
        from opendasheng.engine import load
        from opendasheng.model.generation import GenerationOptions
        from opendasheng.request import Request

        if self._engine is None:
            self._engine = load(self._folder, device=self._device, dtype=self._dtype)
        failures: deque[tuple[int, DashengError]] = deque()
        numbers: list[int] = []  # of the requests that the engine got

        def requests() -> Iterator[Request]:
            for number, question in enumerate(questions):
                clip = opened(question)
                if isinstance(clip, DashengError):
                    failures.append((number, clip))
                    continue
                numbers.append(number)
                yield Request.ask(clip, question.prompt, system=question.system, name=question.name)

        answers = self._engine.answers(
            requests(),
            GenerationOptions.of(generation),
            batch_size=self._batch_size,
            max_seconds=self._limit,
        )
        for place, answer in answers:
            while failures:
                yield failures.popleft()
            if isinstance(answer, DashengError):
                yield numbers[place], answer
            else:
                yield numbers[place], Reply(answer.text, answer.audio_seconds, answer.finish_reason)
        yield from failures


def seconds_limit(max_seconds: float) -> float | None:
    """A limit as the loader of audio takes it: None where there is none."""
    return None if math.isinf(max_seconds) else max_seconds


def opened(question: Question) -> Any:
    """The clip of a question as the loader of audio takes it, or the error why there is none."""
    try:
        return question.sound.open()
    except DashengError as error:
        return EvaluationError(f"{question.name}: {error}")
    except OSError as error:
        return EvaluationError(f"{question.name}: {error.strerror or error}; check the file and its permissions")


def heard(question: Question, answer: Callable[[Waveform], Reply], max_seconds: float | None = None) -> Outcome:
    """What ``answer`` makes of the audio of a question, float32 ``(S,)`` at 16 kHz, or the error why it cannot."""
    clip = opened(question)
    if isinstance(clip, DashengError):
        return clip
    source, rate_hz = clip if isinstance(clip, tuple) else (clip, None)
    try:
        return answer(load_audio(source, rate_hz, max_seconds=max_seconds))
    except DashengError as error:
        return EvaluationError(f"{question.name}: {error}")


class WithoutOptions(ABC):
    """Who has no options for generation, and answers clips one after the other, in order. The error of a clip is its
    own."""

    family = "midashenglm"  # whose prompts rows show
    model_name: str
    fingerprint: str
    _limit: float | None = None

    def generation(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """There are no options: answers are greedy, or no text is generated at all."""
        del options
        return {}

    def answers(self, questions: Iterable[Question], generation: Mapping[str, Any]) -> Iterator[tuple[int, Outcome]]:
        """See :class:`Answerer`."""
        del generation
        for number, question in enumerate(questions):
            yield number, heard(question, partial(self._answer, question), self._limit)

    @abstractmethod
    def _answer(self, question: Question, audio: Waveform) -> Reply:
        """What is made of the audio of a question, float32 ``(S,)`` at 16 kHz."""

"""From an example to what a model is asked, and to the row that its answer goes into."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opendasheng.data.records import Sound
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.datasets import Example
from opendasheng.evaluate.rows import hash64
from opendasheng.evaluate.task import Task

# What a row says of the answer; all else in it says what was asked of whom.
ANSWER_FIELDS = frozenset(("model_output", "duration_seconds", "finish_reason", "error"))
# Models whose prompt has the choices as a Python list; they answer with the text of one. Others get "(A) ..." lines.
_LISTED = frozenset(("qwen2.5-omni",))
_LETTERED = re.compile(r"\s*(?:\(([A-Z])\)|([A-Z])[.):])\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Question:
    """What a model is asked about one clip. ``name`` is what errors call it."""

    name: str
    sound: Sound
    prompt: str
    system: str | None = None


def lettered(choices: Sequence[str]) -> str:
    """Choices as the published prompts have them: a line for each, "(A) Reggae"."""
    return "\n".join(f"({chr(ord('A') + place)}) {choice}" for place, choice in enumerate(choices))


class Asker:
    """Makes questions and rows of one task for one model.

    ``prompts`` says whose prompt is asked (one of :data:`opendasheng.evaluate.task.MODELS`), ``model_name`` what rows
    call the model, ``fingerprint`` tells it from others, ``generation`` is how it decodes. ``settings`` is a hash of
    all that answers depend on but the row: these, the prompt and the task's version.

    Raises :class:`EvaluationError` where the task has no prompt for such a model.
    """

    def __init__(
        self, task: Task, *, prompts: str, model_name: str, fingerprint: str, generation: Mapping[str, Any]
    ) -> None:
        if prompts not in task.prompts:
            there = ", ".join(task.prompts)
            raise EvaluationError(f"{task.name}: it has no prompt for {prompts}; --prompts may be {there}")
        self.task = task
        self.model_name = model_name
        self._prompt = task.prompts[prompts]
        self._is_listed = prompts in _LISTED
        what = [fingerprint, self._prompt.template, self._prompt.system, self._is_listed, dict(generation)]
        text = json.dumps([task.name, task.version, *what], sort_keys=True)
        self.settings = hashlib.sha256(text.encode()).hexdigest()[:12]

    def question(self, example: Example) -> tuple[Question, dict[str, Any]]:
        """What is asked about an example, and its row as far as it is known before the answer."""
        fields = dict(example.fields)
        choices = fields.get("choices")
        if choices is not None:
            fields |= self._choices(choices, fields.get("answer"))
        prompt = self._prompt.template.format(
            question=fields.get("question", ""),
            options=self._options(fields.get("choices", [])),
        )
        cluster = fields.pop("cluster", None)
        audio = fields.pop("audio")
        row = {
            "id": example.id,
            "dataset_name": self.task.dataset_names[0],
            "audio": audio,
            **fields,
            "prompt": prompt,
            "model_name": self.model_name,
            "task": self.task.name,
            **({} if cluster is None else {"cluster": cluster}),
            "settings": self.settings,
        }
        return Question(example.id, example.audio, prompt, self._prompt.system), row

    def _options(self, choices: Sequence[str]) -> str:
        return str(list(choices)) if self._is_listed else lettered(choices)

    def _choices(self, choices: list[str], answer: Any) -> dict[str, Any]:
        """Choices without letters of their own, and the right one as this model is to name it."""
        bare = _bare(choices)
        if not isinstance(answer, str):
            return {"choices": bare}
        index = choices.index(answer) if answer in choices else _named(answer, bare)
        if index is None:
            return {"choices": bare}
        if self._is_listed:
            return {"choices": bare, "answer": bare[index]}
        return {"choices": bare, "answer": answer if answer in bare else chr(ord("A") + index)}


def _bare(choices: list[str]) -> list[str]:
    """Choices without their letters, where each has its own: "(B) Ska" is "Ska" where it is the second."""
    matches = [_LETTERED.fullmatch(choice) for choice in choices]
    own = all(match and _place(match) == place and match[3] for place, match in enumerate(matches))
    return [match[3] for match in matches if match] if own else list(choices)


def _named(answer: str, choices: list[str]) -> int | None:
    """The choice that a right answer names: "B", or "(B) Ska" where that is the second choice; None for others."""
    match = _LETTERED.fullmatch(answer)
    if match is None:
        letter = answer.strip()
        place = ord(letter) - ord("A") if len(letter) == 1 and letter.isascii() and letter.isupper() else -1
        return place if 0 <= place < len(choices) and answer not in choices else None
    place = _place(match)
    return place if place < len(choices) and match[3].strip() in ("", choices[place].strip()) else None


def _place(match: re.Match[str]) -> int:
    return ord(match[1] or match[2]) - ord("A")


def with_answer(row: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """A row with what is known of its answer, in the order of the published files; an error has an empty answer."""
    answer = {"model_output": "", **said}
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name == "settings":
            found |= {key: answer[key] for key in ("duration_seconds", "finish_reason", "error") if key in answer}
        found[name] = value
        if name == "prompt":
            found["model_output"] = answer["model_output"]
    return found


def key_of(row: Mapping[str, Any]) -> int:
    """What tells rows apart: all that they say but the answer, as 64 bits.

    A row whose reference, prompt or model has changed is another one, so that its old answer is not taken for it.
    """
    asked = {name: value for name, value in row.items() if name not in ANSWER_FIELDS}
    return hash64(json.dumps(asked, sort_keys=True))

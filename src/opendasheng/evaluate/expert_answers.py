"""Answers of small pretrained models of others, which know one task each and read no prompt.

A Whisper for CTranslate2 answers transcription, YAMNet answers with labels. They show what a small
model that learnt from far more audio makes of the tasks of the bundled one.
"""

import copy
import re
from argparse import Namespace
from pathlib import Path

import numpy as np

from opendasheng import hub
from opendasheng.audio import Waveform
from opendasheng.data.tasks import join_labels
from opendasheng.errors import ConfigError, EvaluationError
from opendasheng.evaluate.answerers import MAX_SECONDS, Reply, WithoutOptions, seconds_limit
from opendasheng.evaluate.asking import Question
from opendasheng.evaluate.task import Task
from opendasheng.experts.whisper import Whisper, is_whisper
from opendasheng.experts.yamnet import Yamnet, is_yamnet
from opendasheng.lengths import seconds

# Which classes YAMNet's answer names: those with at least this share of the best one's mean score, and at most so many.
# Both were set before any answer was scored.
_SHARE_OF_BEST = 0.5
_MAX_LABELS = 5
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")


class WhisperAnswerer(WithoutOptions):
    """A Whisper, asked for transcripts in the language of a task, or the one that it hears where a task names none."""

    def __init__(
        self, folder: str | Path, *, device: str = "auto", dtype: str = "auto", max_seconds: float = MAX_SECONDS
    ) -> None:
        """Loads the model; raises what :class:`Whisper` does."""
        self._whisper = Whisper(folder, device=device, dtype=dtype)
        self._limit = seconds_limit(max_seconds)
        self._language: str | None = None
        self.model_name = f"whisper ({self._whisper.name})"
        self.fingerprint = f"ctranslate2 {hub.fingerprint(Path(folder), weights='.bin')} {dtype}"

    def of(self, task: Task) -> "WhisperAnswerer":
        """The one for a task. Raises :class:`EvaluationError` for one that is no transcription, and for one in a
        language that the model does not write."""
        if task.metric.parser != "transcript":
            raise EvaluationError(f"{task.name}: {self.model_name} answers transcription alone, and this is none")
        bound = copy.copy(self)
        bound._language = language_of(task)
        if bound._language not in (None, *self._whisper.languages):
            raise EvaluationError(
                f"{task.name}: it is in {bound._language!r}, which {self.model_name} does not write; leave it out"
            )
        return bound

    def _answer(self, question: Question, audio: Waveform) -> Reply:
        del question  # it reads no prompt
        found = self._whisper.transcribe(audio, self._language)
        return Reply(found.text, seconds(len(audio)), "length" if found.was_cut else "stop")


class YamnetAnswerer(WithoutOptions):
    """YAMNet, asked for labels: the names of its best classes by their mean score over a clip, best first."""

    model_name = "yamnet"

    def __init__(self, path: str | Path, *, max_seconds: float = MAX_SECONDS) -> None:
        """Loads the model; raises what :class:`Yamnet` does."""
        self._yamnet = Yamnet(path)
        self._limit = seconds_limit(max_seconds)
        self.fingerprint = f"onnxruntime {self._yamnet.fingerprint} {_SHARE_OF_BEST} {_MAX_LABELS}"

    def of(self, task: Task) -> "YamnetAnswerer":
        """The one for a task. Raises :class:`EvaluationError` for one that does not ask for labels."""
        if task.metric.name != "multi_label_map":
            raise EvaluationError(f"{task.name}: {self.model_name} names labels alone, and none are asked for here")
        return self

    def _answer(self, question: Question, audio: Waveform) -> Reply:
        del question  # it reads no prompt
        means = self._yamnet.scores(audio).mean(0, dtype=np.float64)
        best = np.argsort(-means, kind="stable")[:_MAX_LABELS]
        names = (self._yamnet.names[place] for place in best if means[place] >= _SHARE_OF_BEST * means[best[0]])
        return Reply(join_labels(tuple(names)), seconds(len(audio)))


def language_of(task: Task) -> str | None:
    """The code of the language that all rows of a task are in, by its fields or by the mark in a prompt."""
    constant = task.fields.get("lang", "")
    if constant.startswith("="):
        return constant[1:]
    marks = {mark for prompt in task.prompts.values() for mark in _LANGUAGE.findall(prompt.template)}
    return marks.pop() if len(marks) == 1 else None


def expert_of(args: Namespace, device: str) -> WhisperAnswerer | YamnetAnswerer | None:
    """The expert whose files lie where ``--model`` says, loaded; None where they are no expert's.

    Raises :class:`ConfigError` for options that it has no use for, and what the experts do.
    """
    path = Path(args.model)
    if is_yamnet(path):
        if device not in ("auto", "cpu") or args.dtype != "auto":
            raise ConfigError(f"{args.model}: YAMNet runs on the CPU as it is; leave --device and --dtype out")
        _require_unused(args)
        return YamnetAnswerer(path, max_seconds=args.max_seconds)
    if is_whisper(path) and not _is_of_transformers(path):
        _require_unused(args)
        return WhisperAnswerer(path, device=device, dtype=args.dtype, max_seconds=args.max_seconds)
    return None


def _is_of_transformers(folder: Path) -> bool:
    return (folder / "config.json").is_file() and "model_type" in hub.read_config(folder, str(folder))


def _require_unused(args: Namespace) -> None:
    given = {
        "--backend": args.backend is not None,
        "--prompts": args.prompts is not None,
        "--revision": args.revision is not None,
        "--max-new-tokens": args.max_new_tokens is not None,
        "--batch-size": (args.batch_size or 1) > 1,
    }
    for option, is_given in given.items():
        if is_given:
            raise ConfigError(
                f"{args.model}: this model reads no prompt and answers one clip at a time; leave {option} out"
            )

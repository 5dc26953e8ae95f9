"""Answers that need no language model: what a task is worth to somebody who hardly listens.

``majority`` gives the most common training answer to a prompt. ``logistic`` is a logistic regression from the mean and
standard deviation over time of the 64 bands of a clip's log-mel to the training answers. ``nearest`` gives the answer
of the training clip whose bands are nearest. A model that does not beat all three has learnt nothing worth having.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardReader
from opendasheng.data.tasks import examples
from opendasheng.errors import CorpusError, EvaluationError
from opendasheng.evaluate.answerers import Reply, WithoutOptions
from opendasheng.evaluate.asking import Question
from opendasheng.evaluate.task import Task
from opendasheng.lengths import MIN_MEL_SAMPLES, seconds
from opendasheng.model.mel import LogMel

KINDS = ("majority", "logistic", "nearest")
# Training clips to a prompt, spread over all that there are: more change the regression little.
_MAX_CLIPS = 6000
# Answers that the regression chooses from: the rest are too rare to be learnt.
_MAX_CLASSES = 150

Features = NDArray[np.float64]


class ShallowAnswerer(WithoutOptions):
    """One of :data:`KINDS`, learnt from the training split of a corpus, for each prompt when it is first asked."""

    def __init__(self, kind: str, corpus: str | Path, *, only_kinds: tuple[str, ...] = ()) -> None:
        """``corpus`` is the folder of a built corpus. ``only_kinds`` are the kinds of clips to learn from, all of them
        where it is empty. Raises :class:`EvaluationError` where there is no corpus."""
        self.model_name, self._kind = kind, kind
        self._corpus, self._only = Path(corpus), only_kinds
        try:
            self._reader = ShardReader(corpus, split="train")
        except CorpusError as error:
            raise EvaluationError(f"{kind} learns from a corpus: {error}; name one with --data") from error
        self._learnt: dict[str, Any] = {}  # a fitted classifier by prompt
        self._log_mel = LogMel()
        learns_from = " ".join([*only_kinds, *(clip.id for clip in self._reader.clips)])
        self.fingerprint = f"{kind} {hashlib.sha256(learns_from.encode()).hexdigest()[:16]}"

    def of(self, task: Task) -> "ShallowAnswerer":
        """The one for a task: where that asks about clips of one kind, it learns from such clips alone."""
        kind = task.dataset.where.get("kind", ())
        return ShallowAnswerer(self._kind, self._corpus, only_kinds=(kind,) if isinstance(kind, str) else tuple(kind))

    def _answer(self, question: Question, audio: NDArray[np.float32]) -> Reply:
        prompt = question.prompt
        if prompt not in self._learnt:
            self._learnt[prompt] = self._learn(prompt)
        [answer] = self._learnt[prompt].predict(self._statistics(audio)[None])
        return Reply(str(answer), seconds(len(audio)))

    def _learn(self, prompt: str) -> Any:
        """A classifier from statistics to answers, fitted to the training clips that are asked this."""
        found = list(self._training(prompt))
        if not found:
            raise EvaluationError(f"{self._corpus}: no training clip is asked {prompt!r}; {self._kind} cannot learn it")
        counts = Counter(answer for _, answer in found)
        if self._kind == "majority" or len(counts) == 1:
            nothing = np.zeros((len(found), 1))
            return DummyClassifier(strategy="most_frequent").fit(nothing, [answer for _, answer in found])
        if len(found) > _MAX_CLIPS:
            found = [found[place] for place in np.linspace(0, len(found) - 1, _MAX_CLIPS).astype(int)]
        classifier: Any = KNeighborsClassifier(1)
        if self._kind == "logistic":
            classes = {answer for answer, _ in Counter(answer for _, answer in found).most_common(_MAX_CLASSES)}
            found = [(index, answer) for index, answer in found if answer in classes]
            classifier = LogisticRegression(max_iter=1000)
        features = np.stack([self._statistics(self._reader.audio(index)) for index, _ in found])
        return make_pipeline(StandardScaler(), classifier).fit(features, [answer for _, answer in found])

    def _training(self, prompt: str) -> Iterator[tuple[int, str]]:
        """Clips that are asked this in training, and the first right answer of each."""
        for index, clip in enumerate(self._reader.clips):
            if self._only and clip.kind not in self._only:
                continue
            answer = _first_answer(clip, prompt)
            if answer is not None:
                yield index, answer

    def _statistics(self, audio: NDArray[np.float32]) -> Features:
        padded = np.pad(audio, (0, max(0, MIN_MEL_SAMPLES - len(audio))))
        mel_MF = self._log_mel(torch.from_numpy(padded)[None])[0]
        both_X: Features = torch.cat([mel_MF.mean(1), mel_MF.std(1, correction=0)]).double().numpy()
        return both_X


def _first_answer(clip: Clip, prompt: str) -> str | None:
    return next((example.answer for example in examples(clip) if example.prompt == prompt), None)

"""A built corpus gives the clips of a split and of sources that a task can use."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_tasks import a_task, noise

from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardWriter
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.datasets import TaskData
from opendasheng.evaluate.task import Task


def write_corpus(folder: Path) -> None:
    clips = [
        ("speech-1", "speech", {"transcript": "One.", "language": "en", "speaker": "anna", "split": "test"}),
        ("speech-2", "speech", {"transcript": "Two.", "language": "ru", "speaker": "boris", "split": "test"}),
        ("speech-3", "speech", {"transcript": "Three.", "language": "en", "speaker": "anna", "split": "train"}),
        ("noise-1", "sound", {"labels": ("dog",), "split": "test", "origin": "dog.ogg"}),
    ]
    for source in ("first", "second"):
        with ShardWriter(folder / source, source=source, fingerprint="x") as writer:
            for name, kind, more in clips:
                fields = {
                    "source": f"package-{source}",
                    "licence": "CC0",
                    "kind": kind,
                    "duration_seconds": 0.5,
                    **more,
                }
                writer.add(Clip(id=f"{source}-{name}", **fields), noise(1).astype(np.float32))


def corpus_task(fields: dict[str, str], **dataset: Any) -> Task:
    return a_task(fields, metric="sbert", dataset={"loader": "corpus", "source": "first", **dataset})


def ids(task: Task, data: Path) -> list[str]:
    return [example.id for example in TaskData(task, data).examples()]


def test_a_corpus_gives_the_clips_that_a_task_can_use(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    words = {"audio": "id", "text": "transcript"}
    assert ids(corpus_task(words), tmp_path) == ["first-speech-1", "first-speech-2"]
    assert ids(corpus_task(words, source="second first"), tmp_path)[::2] == ["first-speech-1", "second-speech-1"]
    assert ids(corpus_task(words, where={"language": ["ru", "es"]}), tmp_path) == ["first-speech-2"]
    assert ids(corpus_task(words, split="train"), tmp_path) == ["first-speech-3"]
    assert ids(corpus_task({"audio": "id", "text": "labels"}, where={"labels": "dog"}), tmp_path) == ["first-noise-1"]


def test_clusters_of_a_corpus_are_speakers_or_recordings(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    speech, sound = {"audio": "id", "text": "transcript"}, {"audio": "id", "text": "labels"}
    clusters = [one.fields["cluster"] for one in TaskData(corpus_task(speech), tmp_path).examples()]
    assert clusters == ["anna", "boris"]
    [one] = TaskData(corpus_task(sound), tmp_path).examples()
    assert one.fields["cluster"] == "package-first/dog.ogg"
    chosen = TaskData(corpus_task({**sound, "cluster": "id"}), tmp_path).examples()
    assert [one.fields["cluster"] for one in chosen] == ["first-noise-1"]


def test_a_corpus_is_looked_for_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = corpus_task({"audio": "id", "text": "transcript"})
    with pytest.raises(EvaluationError, match="no folder corpus here; `opendasheng corpus build`"):
        TaskData(task)
    write_corpus(tmp_path / "corpus")
    assert len(list(TaskData(task).examples())) == 2
    with pytest.raises(EvaluationError, match="no source 'third'"):
        TaskData(corpus_task({"audio": "id", "text": "transcript"}, source="third"))

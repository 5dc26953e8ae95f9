"""The tasks as data: complete, consistent, and with the figures of the report."""

import pytest

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.tasks import METRICS, choose, corpus_tasks, official_tasks, zenodo_records


def test_there_are_22_public_and_5_private_tasks_of_the_known_weight() -> None:
    tasks = official_tasks().values()
    public = [task for task in tasks if not task.private]
    assert (len(public), len(tasks)) == (22, 27)
    assert {task.name for task in public} == set(zenodo_records())
    assert sum(task.weight for task in tasks if task.knn and not task.private) == 22889
    assert sum(task.weight for task in tasks if task.knn) == 42889
    assert {task.name for task in tasks if not task.knn} == {
        *("clotho", "desed", "fsd50k", "fsdkaggle2018", "librispeech", "maestro", "liveenv")
    }


@pytest.mark.parametrize("task", official_tasks().values(), ids=lambda task: task.name)
def test_a_task_is_whole(task) -> None:
    assert task.metric in METRICS[task.kind]
    assert task.weight > 0
    assert set(task.splits) == (set(task.folds) or {"train", "valid", "test"})
    assert task.private == (not task.published)
    assert (task.label.num_classes == 0) == (task.kind in ("retrieval", "asr"))
    assert not (task.knn and task.kind != "clip")


def test_what_differs_from_the_default() -> None:
    tasks = official_tasks()
    assert {name: len(task.folds) for name, task in tasks.items() if task.folds} == {
        "esc50": 5,
        "gtzan_genre": 10,
        "libricount": 5,
        "ravdess": 4,
        "urbansound8k": 10,
        "vocalimitations": 3,
    }
    assert {name: task.crop_seconds for name, task in tasks.items() if task.crop_seconds} == {
        "clotho": 30,
        "freemusicarchive": 10,
        "fsd50k": 10,
        "librispeechmalefemale": 5,
        "voxceleb1": 6,
        "voxlingua33": 10,
    }
    same = [name for name, task in tasks.items() if not task.folds and task.splits["valid"] == task.splits["test"]]
    assert {name for name in same if not tasks[name].private} == {"desed", "fsdkaggle2018", "voxlingua33"}
    assert tasks["urbansound8k"].splits["fold-10"] == "urbansound_fold10_0000000.tar"
    assert tasks["vocalimitations"].splits["fold-2"] == "vocal_imitations_fold02_0000000.tar"


def test_the_table_of_the_report_is_the_one_that_was_checked() -> None:
    public = [task for task in official_tasks().values() if not task.private]
    wins = sum(task.published["ours"] > task.published["whisper"] for task in public)
    total = sum(task.weight for task in public)
    weighted = {key: sum(t.published[key] * t.weight for t in public) / total for key in ("ours", "whisper")}
    plain = {key: sum(t.published[key] for t in public) / 22 for key in ("ours", "whisper")}
    assert wins == 18
    assert weighted == pytest.approx({"ours": 78.99, "whisper": 72.32}, abs=0.005)
    assert plain == pytest.approx({"ours": 74.80, "whisper": 62.05}, abs=0.005)


def test_corpus_tasks_lend_to_tasks_that_read_alike() -> None:
    for name, corpus_task in corpus_tasks().items():
        assert corpus_task.task.name == name
        if corpus_task.loan is not None:
            official = official_tasks()[corpus_task.loan.task]
            assert (official.kind, official.metric) == (corpus_task.task.kind, corpus_task.task.metric)
            assert official.crop_seconds == corpus_task.task.crop_seconds
            assert len(corpus_task.loan.values) <= official.label.num_classes


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    assert choose([], {"a": 1, "b": 2}) == ["a", "b"]
    assert choose(["b", "b"], {"a": 1, "b": 2}) == ["b"]
    with pytest.raises(EvaluationError, match="no task 'c' here; the tasks are a, b"):
        choose(["c"], {"a": 1, "b": 2})

"""From data to scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from opendasheng.data.shards import ShardReader
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.command import write_loans
from opendasheng.evaluate.xares.corpus import CorpusDataset
from opendasheng.evaluate.xares.dataset import Sample
from opendasheng.evaluate.xares.protocol import Settings, run_task
from opendasheng.evaluate.xares.tars import TarDataset, write_task
from opendasheng.evaluate.xares.tasks import corpus_tasks, official_tasks


def settings(cache: Path, **changes) -> Settings:
    return Settings(cache, **changes)


def score(encoder, corpus, cache, name: str, epochs: int | None = None, limit: int | None = None, **changes):
    corpus_task = replace(corpus_tasks()[name], min_clips=1)
    if epochs is not None:
        training = replace(corpus_task.task.training, epochs=epochs, batch_size=8)
        corpus_task = replace(corpus_task, task=replace(corpus_task.task, training=training))
    return run_task(encoder, CorpusDataset(ShardReader(corpus), corpus_task, limit), settings(cache, **changes))


@pytest.mark.parametrize("reading", ["compat", "strict"])
def test_what_can_be_heard_is_found(encoder, corpus, tmp_path, reading) -> None:
    found = score(encoder, corpus, tmp_path, "kind", epochs=100, reading=reading)
    assert found.mlp > 0.9
    assert found.knn > 0.9
    assert found.majority == pytest.approx(1 / 3)
    assert found.num_items == {"train": 36, "valid": 18, "test": 18}
    assert (found.weight, found.num_classes) == (18, 3)
    low, high = found.interval
    assert low <= found.mlp <= high


def test_tags_frames_and_captions_are_scored(encoder, corpus, tmp_path) -> None:
    tags = score(encoder, corpus, tmp_path, "tags", epochs=60)
    assert tags.mlp > 0.6
    assert (tags.knn, tags.majority) == (None, None)
    assert tags.interval is None
    scenes = score(encoder, corpus, tmp_path, "scenes", epochs=1, limit=6)
    assert 0 <= scenes.mlp <= 1
    assert scenes.interval is None
    captions = score(encoder, corpus, tmp_path, "captions", epochs=3)
    assert captions.mlp > 1 / 12


def test_transcripts_are_spelt_without_a_language_model(encoder, corpus, tmp_path) -> None:
    found = score(encoder, corpus, tmp_path, "spelling", epochs=30)
    low, high = found.interval
    assert 0 < low <= found.mlp <= high <= 1
    assert (found.knn, found.majority, found.num_classes) == (None, None, None)
    assert found.num_items == {"train": 12, "valid": 6, "test": 6}


def test_a_second_run_says_the_same_and_seeds_are_averaged(encoder, corpus, tmp_path) -> None:
    once = score(encoder, corpus, tmp_path, "gender", seeds=(1, 2, 3))
    again = score(encoder, corpus, tmp_path, "gender", seeds=(1, 2, 3))
    fresh = score(encoder, corpus, tmp_path / "other", "gender", seeds=(1, 2, 3))
    assert once == again == fresh
    assert once.mlp == pytest.approx(np.mean(once.mlp_by_seed))
    assert len(once.mlp_by_seed) == len(once.epochs) == 3


def test_speech_recognition_needs_a_language_model(encoder, corpus, tmp_path, model_folder) -> None:
    with pytest.raises(EvaluationError, match="--language-model"):
        score(encoder, corpus, tmp_path, "transcripts")
    found = score(encoder, corpus, tmp_path, "transcripts", epochs=1, language_model=str(model_folder))
    assert 0 <= found.mlp <= 1


def test_the_same_clips_score_the_same_from_shards_and_from_tars(encoder, corpus, tmp_path) -> None:
    write_loans(corpus, tmp_path / "env", ["gender"])
    official = official_tasks()["librispeechmalefemale"]
    lent = run_task(encoder, TarDataset(tmp_path / "env", official), settings(tmp_path))
    own = score(encoder, corpus, tmp_path, "gender")
    # The classes have another order there, and so other rows of the first weights; the neighbours have none.
    assert lent.knn == own.knn
    assert lent.num_items == own.num_items
    assert lent.weight == 2620


def folds(root: Path, num_wrong: int) -> TarDataset:
    """RAVDESS's four folds, each with two emotions told by pitch; in the last fold some labels are swapped."""
    task = official_tasks()["ravdess"]

    def samples(fold: int) -> list[Sample]:
        found = []
        for number in range(8):
            high = number % 2
            wave = np.sin(np.arange(8000) * (0.8 if high else 0.1)).astype(np.float32) * 0.5
            wrong = fold == 3 and number < num_wrong
            found.append(Sample(f"f{fold}-{number}", {"emotion": ("calm", "angry")[high ^ wrong]}, lambda w=wave: w))
        return found

    write_task(root, task, {name: samples(fold) for fold, name in enumerate(task.splits)})
    return TarDataset(root, replace(task, training=replace(task.training, epochs=40, batch_size=4)))


def test_each_fold_is_tested_once_and_the_score_is_their_mean(encoder, tmp_path) -> None:
    found = run_task(encoder, folds(tmp_path / "env", 4), settings(tmp_path, reading="strict"))
    assert found.mlp == pytest.approx((3 + 0.5) / 4)
    assert found.knn == pytest.approx((3 + 0.5) / 4)
    assert found.epochs == (40,) * 4, "strict never chooses an epoch by the data it tests"
    assert found.num_items == {f"fold-{number}": 8 for number in range(4)}
    assert found.num_classes == 8
    compat = run_task(encoder, folds(tmp_path / "again", 4), settings(tmp_path))
    assert compat.mlp >= found.mlp
    assert min(compat.epochs) < 40


def test_more_classes_than_the_task_has_are_refused(encoder, corpus, tmp_path) -> None:
    task = official_tasks()["librispeechmalefemale"]

    def samples(names: str) -> list[Sample]:
        return [Sample(n, {"gender": n}, lambda: np.zeros(4000, np.float32)) for n in names]

    write_task(tmp_path, task, {"train": samples("MFX"), "valid": samples("M"), "test": samples("F")})
    with pytest.raises(EvaluationError, match="3 classes, among them 'F', where the task has 2"):
        run_task(encoder, TarDataset(tmp_path, task), settings(tmp_path))

"""Tasks over our own shards."""

from collections import Counter

import numpy as np
import pytest

from opendasheng.data.shards import ShardReader
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.command import write_loans
from opendasheng.evaluate.xares.corpus import CorpusDataset
from opendasheng.evaluate.xares.dataset import frame_matrix, label_of
from opendasheng.evaluate.xares.tars import TarDataset
from opendasheng.evaluate.xares.tasks import corpus_tasks, official_tasks


def dataset(corpus, name: str, limit: int | None = None, **changes) -> CorpusDataset:
    from dataclasses import replace

    return CorpusDataset(ShardReader(corpus), replace(corpus_tasks()[name], **changes), limit)


def labels(data: CorpusDataset, split: str) -> list:
    return [label_of(data.task, sample) for sample in data.split(split).samples]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("kind", {"speech", "sound", "music"}),
        ("gender", {"male", "female"}),
        ("speaker", {"adam", "eve"}),
        ("language", {"en", "ru"}),
        ("transcripts", {"low tone", "high tone"}),
    ],
)
def test_the_label_is_a_field_of_the_clip(corpus, task, expected) -> None:
    data = dataset(corpus, task, min_clips=1)
    assert data.is_there()
    for split in data.task.splits:
        assert set(labels(data, split)) == expected


def test_several_labels_and_captions(corpus) -> None:
    assert ("low sound", "sound") in labels(dataset(corpus, "tags", min_clips=1), "test")
    assert ("A low music is heard.", "There is a low music.") in labels(dataset(corpus, "captions"), "test")


def test_rare_classes_are_left_out_and_counted(corpus) -> None:
    data = dataset(corpus, "tags", min_clips=7)
    assert set(labels(data, "train")) == {("sound",), ("music",)}
    assert data.split("train").notes == ()
    rare = dataset(corpus, "gender", min_clips=7)
    assert not rare.is_there()
    assert "12 clips are of classes with fewer than 7 clips in training" in rare.split("train").notes[0]


def test_a_limit_is_spread_over_classes_and_smaller_ones_lie_in_larger_ones(corpus) -> None:
    chosen = {limit: dataset(corpus, "kind", limit) for limit in (6, 12, 100)}
    assert Counter(labels(chosen[6], "train")) == {"speech": 2, "sound": 2, "music": 2}
    keys = {limit: [sample.key for sample in data.split("train").samples] for limit, data in chosen.items()}
    assert keys[12][:6] == keys[6]
    assert keys[100][:12] == keys[12]
    assert len(keys[100]) == 36
    prints = {data.split("train").fingerprint for data in chosen.values()}
    assert len(prints) == 3


def test_scenes_are_ten_seconds_of_what_their_events_say(corpus) -> None:
    data = dataset(corpus, "scenes", 8)
    (first, *rest) = data.split("train").samples
    assert len(rest) == 7
    audio, events = first.audio(), label_of(data.task, first)
    assert audio.shape == (160_000,)
    assert audio.dtype == np.float32
    assert {event.name for event in events} <= {"speech", "sound", "music"}
    active = frame_matrix(events, ("music", "sound", "speech"), 250, 0.04)
    power = np.abs(audio.reshape(250, 640)).max(1)
    assert (active.sum(1) <= 1).all()
    assert power[active.any(1)].min() > 0.4
    silent = [t for t in range(250) if not active[max(0, t - 1) : t + 2].any()]
    assert power[silent].max(initial=0.0) == 0.0


def test_scenes_are_the_same_each_time_and_others_in_each_split(corpus) -> None:
    one, other = (dataset(corpus, "scenes", 4) for _ in range(2))
    assert labels(one, "train") == labels(other, "train") != labels(one, "test")
    assert np.array_equal(one.split("test").samples[3].audio(), other.split("test").samples[3].audio())


def test_a_corpus_can_be_lent_to_the_tasks_of_the_package(corpus, tmp_path) -> None:
    lines = write_loans(corpus, tmp_path, ["gender", "scenes"], limit=10)
    assert lines[0].endswith("10 train, 6 valid, 6 test")
    gender = TarDataset(tmp_path, official_tasks()["librispeechmalefemale"])
    assert Counter(label_of(gender.task, sample) for sample in gender.split("train").samples) == {"M": 5, "F": 5}
    ours = dataset(corpus, "gender", 10).split("train").samples
    for lent, own in zip(gender.split("train").samples, ours, strict=True):
        assert np.array_equal(lent.audio(), own.audio())
    scenes = TarDataset(tmp_path, official_tasks()["desed"])
    assert {e.name for s in scenes.split("test").samples for e in label_of(scenes.task, s)} <= {
        *("Speech", "Dishes", "Alarm_bell_ringing")
    }
    with pytest.raises(EvaluationError, match="no task 'kind' here; the tasks are gender, language, scenes"):
        write_loans(corpus, tmp_path, ["kind"])

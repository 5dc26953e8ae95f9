"""The data set: training reads it as it is, every clip is told of once, and no recording is trained on and tested."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from clip_corpora import damage, write_clips
from findings import active, captioned, heard, placed, tagged, valued

from opendasheng.curate.config import CurationConfig, DatasetConfig, InputConfig, PoolConfig, SplitConfig
from opendasheng.curate.dataset import Dataset, chosen, clip_of, folder_name
from opendasheng.curate.describe import describe
from opendasheng.curate.inputs import CorpusInput
from opendasheng.curate.record import Drop, Question
from opendasheng.curate.split import split
from opendasheng.data.clip import Question as Asked
from opendasheng.data.mixture import Mixture, MixtureConfig
from opendasheng.data.shards import ShardReader
from opendasheng.errors import ConfigError, CorpusError, CurationError

DOG, SPEECH, NOTHING = tagged(("Dog", 0, 0.5)), tagged(("Speech", 0, 0.5), ("Inside, small room", 0, 0.5)), tagged()


@pytest.fixture
def config(tmp_path):
    names = {"tones": [f"tone-{n}" for n in range(90)], "odd": ["odd-0", "odd-1"]}
    return CurationConfig(
        name="tiny",
        output=str(tmp_path / "curated"),
        input=InputConfig(str(write_clips(tmp_path / "clips", names))),
        pools=(PoolConfig(("tags", "match")),),
        split=SplitConfig(test_percent=50),
        dataset=DatasetConfig(write=True),
    )


def records_of(config):
    """What a run leaves behind: of every fifth clip nothing is heard, one is dropped, three clips are of one recording,
    and two that follow each other have one vector."""
    found = []
    for number, record in enumerate(CorpusInput(config.input).records()):
        found_there = {**(NOTHING if number % 5 == 4 else DOG), **placed(np.eye(64)[(number + 1) // 2])}
        record = record.model_copy(update={"findings": found_there, "recording": f"r{number // 3}"})
        found.append(describe(record))
    found[3] = found[3].model_copy(update={"dropped": Drop(step="filter", reason="it does not fit")})
    return split(found, config.split)


def test_training_reads_it_and_the_audio_is_that_of_the_corpus(config):
    folder = Dataset(config, records_of(config)).write()
    assert {path.name for path in folder.iterdir()} == {"tones", "odd", "rejected.jsonl", "README.md"}
    corpus, made = ShardReader(config.input.corpus), ShardReader(folder)
    assert made.verify() == 2
    originals = {clip.id: (clip, corpus.flac(place)) for place, clip in enumerate(corpus.clips)}
    for place, clip in enumerate(made.clips):
        original, flac = originals[clip.id]
        assert made.flac(place) == flac
        assert (clip.source, clip.licence, clip.origin) == (original.source, original.licence, original.origin)
        assert (clip.kind, clip.labels, clip.captions[-1]) == ("sound", ("dog",), "Sounds of dog.")
        assert clip.duration_seconds == original.duration_seconds
    train = ShardReader(folder, split="train")
    draws = Mixture(train.clips, MixtureConfig(), 0).epoch(0)
    assert {draw.index for draw in draws} == set(range(len(train)))
    assert {draw.example.task for draw in draws} <= {"caption", "tag"}


def test_every_clip_is_kept_or_rejected_with_a_reason(config):
    records = records_of(config)
    folder = Dataset(config, records).write()
    rejected = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    kept = [clip.id for clip in ShardReader(folder).clips]
    assert sorted([*kept, *(line["id"] for line in rejected)]) == sorted(record.id for record in records)
    told = {line["id"]: (line["step"], line["reason"]) for line in rejected}
    assert told[records[3].id] == ("filter", "it does not fit")
    assert told[records[4].id] == ("dataset", "nothing is heard, so that it has no category")
    assert len(told) == 19


def test_neither_a_recording_nor_a_copy_is_trained_on_and_tested(config):
    records = records_of(config)
    folder = Dataset(config, records).write()
    sides = {clip.id: clip.split for clip in ShardReader(folder).clips}
    assert set(sides.values()) == {"train", "test"}
    recordings = {}
    for path in folder.glob("*/index.json"):
        recordings |= json.loads(path.read_text())["info"]["recordings"]
    assert recordings.keys() == sides.keys()
    by_recording = {}
    for clip_id, recording in recordings.items():
        by_recording.setdefault(recording, set()).add(sides[clip_id])
    assert max(Counter(recordings.values()).values()) == 3
    assert all(len(found) == 1 for found in by_recording.values())
    copies = [
        (one.id, other.id)
        for one, other in zip(records[1::2], records[2::2], strict=False)
        if {one.id, other.id} <= sides.keys()
        and one.recording != other.recording
        and one.duration_seconds > 0.98 * other.duration_seconds
    ]
    assert copies
    assert all(sides[one] == sides[other] for one, other in copies)


def test_it_is_written_whole_and_once(config, monkeypatch, capsys):
    records = records_of(config)
    folder = Dataset(config, records).write()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}

    assert Dataset(config, records).write() == folder
    assert "is there already" in capsys.readouterr().err
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before

    fewer = records[:-1]
    monkeypatch.setattr("opendasheng.curate.dataset.card", lambda *_: "of another run")
    monkeypatch.setattr(CorpusInput, "flac", _full_disk)
    with pytest.raises(OSError, match="full"):
        Dataset(config, fewer).write()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert [path.name for path in folder.parent.iterdir()] == ["dataset"]


def _full_disk(self, clip_id):
    raise OSError("the disk is full")


def test_a_shard_that_was_damaged_is_written_anew(config):
    records = records_of(config)
    folder = Dataset(config, records).write()
    shard = folder / "tones" / "shard-00000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    Dataset(config, records).write()
    assert shard.read_bytes() == whole


def test_audio_that_is_no_longer_there_is_named(config):
    records = records_of(config)
    damage(Path(config.input.corpus), "tone-0")
    with pytest.raises(CorpusError, match="tone-0"):
        Dataset(config, records).write()
    assert not (config.folder / "dataset").exists()


def test_without_a_clip_there_is_no_data_set(config):
    records = [describe(heard(NOTHING))]
    with pytest.raises(CurationError, match="tiny: none of the 1 clips is kept"):
        Dataset(config, records)


def test_what_experts_report_of_speech_is_told():
    record = describe(
        heard(
            SPEECH,
            active(("speech", 0, 0.5)),
            valued("speech", transcript=" Hello. ", language="en"),
            valued("pitch", voice_gender="female"),
            duration_seconds=0.5,
        )
    ).model_copy(
        update={
            "split": "test",
            "questions": (Question(category="direct_perception", difficulty="basic", question="Who?", answer="She."),),
        }
    )
    clip = clip_of(record)
    assert (clip.kind, clip.split, clip.labels) == ("speech", "test", ("speech",))
    assert (clip.language, clip.gender, clip.transcript) == ("en", "female", "Hello.")
    assert clip.questions == (Asked("Who?", "She."),)
    assert clip.captions == (record.captions["template"].long, record.captions["template"].short)

    unheard = describe(heard(DOG, valued("speech", transcript="Hello.", language="en"))).model_copy(
        update={"split": "train"}
    )
    assert (clip_of(unheard).language, clip_of(unheard).transcript) == (None, None)
    odd = record.heard("speech", valued("speech", transcript="Hello.", language="English")["speech"])
    assert clip_of(odd).language is None


@pytest.mark.parametrize(
    ("makers", "scores", "taken"),
    [
        (("model", "template"), {}, ["model"]),
        (("model", "template"), {"model": 0.2, "template": 0.3}, ["model"]),
        (("model", "template"), {"model": 0.09, "template": 0.3}, ["template"]),
        (("model", "template"), {"model": 0.1, "template": 0.0}, ["model"]),
        (("template", "model"), {"model": 0.2, "template": 0.3}, ["template"]),
        (("acavcaps", "template"), {"model": 0.2, "template": 0.3}, ["template"]),
        (("template",), {"model": 0.2, "template": 0.09}, []),
        (("acavcaps",), {}, []),
    ],
)
def test_captions_are_those_of_the_first_maker_whose_captions_fit(makers, scores, taken):
    question = Question(category="direct_perception", difficulty="basic", question="Who?", answer="She.")
    record = heard(
        captions={"template": captioned("template 1", "one"), "model": captioned("llm", "two")},
        scores=scores,
        questions=(question,),
    )
    found = chosen(record, makers, 0.1)
    assert found.captions == {maker: record.captions[maker] for maker in taken}
    assert found.questions == ((question,) if "model" in makers else ())


@pytest.mark.parametrize(("makers", "told"), [((), "is empty"), (("model", "model"), "is model, model")])
def test_makers_that_say_nothing_are_refused(makers, told):
    with pytest.raises(ConfigError, match=rf"dataset\.makers {told}; name each"):
        DatasetConfig(makers=makers)


def test_a_source_has_a_folder_of_its_own():
    names = ["wesnoth-1.16-data", "a/b", "a b", "..", "README.md", "", "caf\u00e9", "x" * 300]
    folders = [folder_name(name) for name in names]
    assert folders[0] == names[0]
    assert len(set(folders)) == len(names)
    assert all(folder == Path(folder).name and folder not in ("", "..", "README.md") for folder in folders)
    assert max(map(len, folders)) <= 100

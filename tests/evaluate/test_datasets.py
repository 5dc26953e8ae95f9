"""Every kind of data set gives the same examples, with ids that stay, and says what is wrong with it."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tasks import NUM_CLIPS, ROWS, TEXT, a_manifest, a_task, encoded, members, noise, write_manifest, write_tar

from opendasheng.audio import load_audio
from opendasheng.errors import AudioError, EvaluationError
from opendasheng.evaluate.datasets import Example, TaskData, _Ids
from opendasheng.evaluate.task import Task


def of_manifest(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(NUM_CLIPS):
        (folder / f"{number}.flac").write_bytes(encoded(number))
    return write_manifest(folder, [{"audio": f"{number}.flac", **row} for number, row in enumerate(ROWS)])


def of_metadata_jsonl(folder: Path) -> Path:
    of_manifest(folder)
    (folder / "test.jsonl").unlink()
    write_manifest(folder, [{"file_name": f"{n}.flac", **row} for n, row in enumerate(ROWS)], "metadata.jsonl")
    return folder


def of_metadata_csv(folder: Path) -> Path:
    of_manifest(folder / "test")
    (folder / "test" / "test.jsonl").unlink()
    with (folder / "test" / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["file_name", "text", "kind"])
        writer.writeheader()
        writer.writerows({"file_name": f"{n}.flac", **row} for n, row in enumerate(ROWS))
    return folder


def of_tars(folder: Path) -> Path:
    write_tar(folder / "shards" / "test-0.tar", members(0, 3))
    write_tar(folder / "shards" / "test-1.tar", members(3))
    write_tar(folder / "shards" / "train-0.tar", members())
    return folder / "shards"


def of_pattern(folder: Path) -> Path:
    return of_tars(folder) / "test-*.tar"


def of_compressed(folder: Path) -> Path:
    return write_tar(folder / "all.tar.gz", members())


def columns(audio: Callable[[int], Any]) -> dict[str, list[Any]]:
    return {
        "audio": [audio(number) for number in range(NUM_CLIPS)],
        "text": [row["text"] for row in ROWS],
        "kind": [row["kind"] for row in ROWS],
    }


def a_dataset(audio: Callable[[int], Any] = lambda n: {"bytes": encoded(n), "path": f"{n}.flac"}) -> Any:
    import datasets

    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    kinds = datasets.ClassLabel(names=["even", "odd"])
    features = datasets.Features({"audio": stored, "text": datasets.Value("string"), "kind": kinds})
    plain = datasets.Dataset.from_dict(columns(audio), features=features)
    return plain.cast_column("audio", datasets.Audio(decode=False))  # encoding audio takes a decoder's package


def of_saved(folder: Path) -> Path:
    a_dataset().save_to_disk(folder / "saved")
    return folder / "saved"


def of_saved_splits(folder: Path) -> Path:
    import datasets

    whole = a_dataset()
    datasets.DatasetDict({"train": whole.select([0]), "test": whole}).save_to_disk(folder / "saved")
    return folder / "saved"


def of_parquet(folder: Path) -> Path:
    a_dataset().to_parquet(folder / "test.parquet")
    return folder / "test.parquet"


def of_parquet_of_paths(folder: Path) -> Path:
    from pyarrow.parquet import write_table

    of_manifest(folder)
    whole = a_dataset(lambda n: {"bytes": None, "path": f"{n}.flac"})
    write_table(
        whole.with_format("arrow")[:].replace_schema_metadata(whole.features.arrow_schema.metadata),
        folder / "test.parquet",
    )
    return folder / "test.parquet"


def of_parquet_folder(folder: Path) -> Path:
    whole = a_dataset()
    whole.select(range(2)).to_parquet(folder / "data" / "test-00000-of-00002.parquet")
    whole.select(range(2, NUM_CLIPS)).to_parquet(folder / "data" / "test-00001-of-00002.parquet")
    whole.to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    return folder


KINDS = [
    of_manifest,
    of_metadata_jsonl,
    of_metadata_csv,
    of_tars,
    of_pattern,
    of_compressed,
    of_saved,
    of_saved_splits,
    of_parquet,
    of_parquet_of_paths,
    of_parquet_folder,
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_every_kind_of_data_set_gives_the_same_examples(make: Callable[[Path], Path], tmp_path: Path) -> None:
    data = TaskData(a_task({**TEXT, "kind": "kind"}), make(tmp_path))
    found = list(data.examples())
    assert [example.fields["text"] for example in found] == [row["text"] for row in ROWS]
    assert [example.fields["kind"] for example in found] == [row["kind"] for row in ROWS]
    assert {example.fields["lang"] for example in found} == {"en"}
    assert len({example.id for example in found}) == NUM_CLIPS
    for number, example in enumerate(found):
        assert Path(example.fields["audio"]).stem == str(number) == Path(example.id).stem
        heard = load_audio(example.audio.open())
        assert np.allclose(heard, noise(number), atol=1e-4)
    shut = list(data.examples(audio=False))  # what a plan is made of says the same
    assert [(one.id, one.fields) for one in shut] == [(one.id, one.fields) for one in found]
    assert [one.id for one in data.examples(limit=2)] == [one.id for one in found[:2]]


def test_reading_decodes_nothing_and_needs_no_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    of_saved(tmp_path)
    whole = datasets.load_from_disk(str(tmp_path / "saved"))
    whole.cast_column("audio", datasets.Audio(decode=True)).save_to_disk(tmp_path / "decoding")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a clip was decoded")

    monkeypatch.setattr(datasets.Audio, "decode_example", refuse)
    found = list(TaskData(a_task(), tmp_path / "decoding").examples())
    assert found[3].audio.open() == encoded(3)


def test_labels_are_spelled_as_answers_say_them(tmp_path: Path) -> None:
    labels = {"source": "here", "spelled": {"en": "English"}}
    task = a_task({"audio": "audio", "label": "code"}, metric="accuracy", labels=labels)
    path = write_manifest(tmp_path, [{"audio": "a.wav", "code": "en"}, {"audio": "b.wav", "code": ["fi", "en"]}])
    assert [one.fields["label"] for one in TaskData(task, path).examples()] == [["English"], ["fi", "English"]]


def test_sub_folders_are_labels_where_there_is_no_metadata(tmp_path: Path) -> None:
    for name in ("b/2.flac", "a/1.wav", ".hidden/3.wav", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(1))
    task = a_task({"audio": "audio", "label": "label"}, metric="accuracy")
    found = list(TaskData(task, tmp_path).examples())
    assert [(one.id, one.fields["label"]) for one in found] == [("a/1.wav", ["a"]), ("b/2.flac", ["b"])]
    assert [one.fields["audio"] for one in found] == ["a/1.wav", "b/2.flac"]


def test_dots_lead_inwards(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"x/1.mp3": b"-", "x/1.json": {"a": {"b": "deep"}}, "x/1.txt": "flat\n"})
    for column in ("a.b", "json.a.b"):
        [example] = TaskData(a_task({"audio": "mp3", "text": column}, metric="sbert"), path).examples()
        assert (example.id, example.fields["audio"], example.fields["text"]) == ("x/1", "1.mp3", "deep")
    [example] = TaskData(a_task({"audio": "mp3", "text": "txt"}, metric="sbert"), path).examples()
    assert example.fields["text"] == "flat"


def test_data_of_ones_own_may_have_our_names(tmp_path: Path) -> None:
    task = a_task({"audio": "context", "text": "answer", "lang": "=en"})
    [example] = TaskData(task, write_manifest(tmp_path, [{"audio": "a.wav", "text": "ours"}])).examples()
    assert example.fields["text"] == "ours"


def test_a_folder_may_hold_one_data_set_for_each_task(tmp_path: Path) -> None:
    for name in ("one", "two"):
        a_manifest(tmp_path / name, 2 if name == "one" else 3)
    counts = [len(list(TaskData(a_task(name=name), tmp_path).examples())) for name in ("one", "two")]
    assert counts == [2, 3]


# Ids


def test_ids_of_their_own_must_differ(tmp_path: Path) -> None:
    rows = [{"audio": "a.wav", "text": "x", "key": 7}, {"audio": "b.wav", "text": "y", "key": "7"}]
    task = a_task({**TEXT, "id": "key"})
    assert [one.id for one in TaskData(task, write_manifest(tmp_path, rows[:1])).examples()] == ["7"]
    with pytest.raises(EvaluationError, match="the id '7' is given twice"):
        list(TaskData(task, write_manifest(tmp_path, rows)).examples())


def test_questions_about_one_clip_get_ids_of_their_own(tmp_path: Path) -> None:
    rows = [{"audio": "a.wav", "text": str(number)} for number in range(3)]
    assert [one.id for one in TaskData(a_task(), write_manifest(tmp_path, rows)).examples()] == [
        "a.wav",
        "a.wav#2",
        "a.wav#3",
    ]
    named = [{"audio": "a.wav", "text": "x", "id": "q"}, {"audio": "a.wav", "text": "y"}]
    assert [one.id for one in TaskData(a_task(), write_manifest(tmp_path, named)).examples()] == ["q", "a.wav"]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["a", "b", "a#2", "a#2#2", "\ud800", "\udfff"]), max_size=12))
def test_no_two_rows_have_the_same_id(names: list[str]) -> None:
    given_ids, again = _Ids("x"), _Ids("x")
    found = [given_ids.given(name) for name in names]
    assert len(set(found)) == len(names)
    assert found == [again.given(name) for name in names]
    "".join(found).encode()


# What is wrong


def complaint(task: Task, data: Path | str | None = None) -> str:
    with pytest.raises(EvaluationError) as caught:
        list(TaskData(task, data).examples())
    return str(caught.value)


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, [{"audio": "a.wav", "words": "x", "speaker": "s"}])
    said = complaint(a_task({"audio": "audio", "text": "caption.best"}, metric="sbert"), path)
    assert said.endswith("a.wav: there is no column 'caption.best' (text); there is audio, speaker, words")
    assert "no column 'sound' (audio)" in complaint(
        a_task({"audio": "sound", "text": "words"}, metric="sbert"), write_manifest(tmp_path, [{"words": "x"}])
    )


@pytest.mark.parametrize("value", [None, {"a": 1}, [1, None], True])
def test_a_value_that_is_no_text_is_refused(value: object, tmp_path: Path) -> None:
    path = write_manifest(tmp_path, [{"audio": "a.wav", "text": value}])
    assert "column 'text' (text) is" in complaint(a_task(), path)


def test_a_split_is_not_taken_from_another_one(tmp_path: Path) -> None:
    write_tar(tmp_path / "train-0.tar", members())
    assert "no file of the split 'test', but of train" in complaint(a_task(), tmp_path)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.98])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_tar_that_is_cut_short_is_not_taken_for_whole(name: str, keep: float, tmp_path: Path) -> None:
    path = write_tar(tmp_path / name, members())
    content = path.read_bytes()
    end = len(content) if name.endswith("gz") else len(content.rstrip(b"\0")) + 600
    path.write_bytes(content[: int(keep * end)])
    assert str(path) in complaint(a_task(), path)


def test_a_tar_of_damaged_headers_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", members())
    content = bytearray(path.read_bytes())
    place = content.index(b"3.flac")
    content[place + 150] ^= 0xFF  # its checksum
    path.write_bytes(content)
    assert "damaged or cut short" in complaint(a_task(), path)


def test_what_is_no_data_set_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.zip").write_bytes(b"PK")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    write_manifest(tmp_path, [], "none.jsonl")
    assert "holds no data set" in complaint(a_task(), tmp_path / "empty")
    assert "tells no kind of data set" in complaint(a_task(), tmp_path / "a.zip")
    assert "no such file" in complaint(a_task(), tmp_path / "b.jsonl")
    assert "cannot be read as Parquet" in complaint(a_task(), tmp_path / "a.parquet")
    assert "holds no rows" in complaint(a_task(), tmp_path / "none.jsonl")
    where = a_task(dataset={"where": {"kind": "cat"}})
    assert "no row of the split 'test' where {'kind': 'cat'}" in complaint(where, of_manifest(tmp_path))
    note = a_task(dataset={"source": "http://x.org/data", "note": "Unpack it."})
    assert "get http://x.org/data and give --data. Unpack it." in complaint(note)


def test_a_hub_that_is_out_of_reach_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    said = complaint(a_task(dataset={"loader": "huggingface", "source": "nobody/nothing"}))
    assert said.startswith("nobody/nothing: the data set cannot be had")
    assert "\n" not in said


def test_a_clip_that_is_not_there_fails_when_it_is_opened(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"1.json": {"text": "no audio"}, "2.json": {"text": "x"}, "2.wav": encoded(2)})
    first, second = TaskData(a_task(), tar).examples()
    with pytest.raises(EvaluationError, match="1: the sample has no audio, only json"):
        first.audio.open()
    assert len(load_audio(second.audio.open()))
    [missing] = TaskData(a_task(), write_manifest(tmp_path, [{"audio": "none.wav", "text": "x"}])).examples()
    with pytest.raises(AudioError, match="no such file"):
        load_audio(missing.audio.open())


def test_a_data_set_is_not_held_in_memory(tmp_path: Path) -> None:
    """A row is given before the next one is read: what comes later is not looked at."""
    path = write_manifest(tmp_path, [{"audio": "a.wav", "text": "x"}])
    path.write_text(path.read_text() + "this is no JSON\n")
    examples = TaskData(a_task(), path).examples()
    assert isinstance(next(examples), Example)
    with pytest.raises(EvaluationError, match="row 2"):
        next(examples)

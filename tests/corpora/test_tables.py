"""Data sets of Hugging Face become shards, as the library and the hub lay them out."""

from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pytest
import tiny_packages as packages
from pyarrow.parquet import write_table

from opendasheng.cli import main
from opendasheng.corpora.importing import Table, import_table
from opendasheng.corpora.tables import Columns, rows_of
from opendasheng.data.clip import Question
from opendasheng.data.shards import ShardReader
from opendasheng.errors import CorpusError

SPOKEN = Columns(answer="sentence")


def rows(count: int, **changes: list) -> datasets.Dataset:
    """Tones as audio files with sentences."""
    columns = {
        "audio": [{"bytes": packages.tone(200 + 100 * number), "path": f"{number}.wav"} for number in range(count)],
        "sentence": [f"Tone {number}." for number in range(count)],
    }
    features = datasets.Features({"audio": datasets.Audio(decode=False), "sentence": datasets.Value("string")})
    # As stored: the library itself encodes by a package that need not be there.
    return datasets.Dataset(pyarrow.Table.from_pydict(columns | changes, schema=features.arrow_schema))


def splits(corpus: Path) -> list[tuple[str, str, str]]:
    return [(clip.split, clip.origin, clip.questions[0].answer) for clip in ShardReader(corpus).clips]


def test_what_save_to_disk_wrote(tmp_path: Path) -> None:
    datasets.DatasetDict(train=rows(2), validation=rows(1), test=rows(1)).save_to_disk(tmp_path / "saved")
    table = Table(tmp_path / "saved", prompt="What is said?", licence="CC0-1.0", columns=SPOKEN)
    assert import_table(table, tmp_path / "corpus" / "mine").num_clips == 4
    assert splits(tmp_path / "corpus") == [
        ("train", "0.wav", "Tone 0."),
        ("train", "1.wav", "Tone 1."),
        ("dev", "0.wav", "Tone 0."),
        ("test", "0.wav", "Tone 0."),
    ]
    reader = ShardReader(tmp_path / "corpus")
    assert reader.clips[0].questions == (Question("What is said?", "Tone 0."),)
    assert len(reader.audio(0)) == round(reader.clips[0].duration_seconds * 16_000)


def test_a_single_one_is_split_by_recording(tmp_path: Path) -> None:
    rows(3).save_to_disk(tmp_path / "saved")
    import_table(Table(tmp_path / "saved", columns=SPOKEN, dev_percent=100), tmp_path / "corpus" / "mine")
    assert {split for split, _, _ in splits(tmp_path / "corpus")} == {"dev"}


def test_parquet_as_the_hub_has_it(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "hub" / "README.md").write_text("A data set.")
    for name, count in (("train-00000-of-00002", 2), ("train-00001-of-00002", 1), ("validation-00000-of-00001", 1)):
        rows(count).to_parquet(folder / f"{name}.parquet")
    command = ["corpus", "import", str(tmp_path / "hub"), "--output", str(tmp_path / "corpus")]
    assert main([*command, "--answer-column", "sentence"]) == 0
    assert [split for split, _, _ in splits(tmp_path / "corpus")] == ["train"] * 3 + ["dev"]
    assert import_table(Table(folder / "train-00001-of-00002.parquet", columns=SPOKEN), tmp_path / "one").num_clips == 1


def test_rows_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    audio = [
        {"bytes": b"no audio", "path": "rubbish.wav"},
        None,
        {"bytes": None, "path": "gone.wav"},
        {"bytes": packages.tone(300), "path": "good.wav"},
        {"bytes": packages.tone(300), "path": "mute.wav"},
    ]
    table = rows(5, audio=audio, sentence=["a", "b", "c", "d", None]).data.table
    write_table(table, tmp_path / "rows.parquet")
    found = import_table(Table(tmp_path / "rows.parquet", columns=SPOKEN), tmp_path / "corpus" / "mine")
    assert found.num_clips == 1
    for line, (number, words) in zip(
        found.left_out, [(1, "rubbish.wav"), (2, "no audio"), (3, "gone.wav"), (5, "no sentence")], strict=True
    ):
        assert f"row {number}: " in line
        assert words in line


def paths(count: int, folder: Path, *names: str) -> Path:
    """A Parquet file of rows that name files and hold none."""
    audio = [{"bytes": None, "path": name} for name in names]
    folder.mkdir()
    write_table(rows(count, audio=audio).data.table, folder / "train.parquet")  # the library would want the files
    return folder


def test_audio_outside_the_data_set_is_left_out_unless_its_folder_is_given(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    outside = tmp_path / "other" / "secret.wav"
    outside.write_bytes(packages.tone(300))
    names = ("../other/secret.wav", str(outside), "http://localhost:9/secret.wav", "inside.wav")
    data = paths(4, tmp_path / "data", *names)
    (data / "inside.wav").write_bytes(packages.tone(300))
    found = import_table(Table(data, columns=SPOKEN), tmp_path / "mine")
    assert [clip.origin for clip in ShardReader(tmp_path / "mine").clips] == ["inside.wav"]
    assert ["row 1" in found.left_out[0], "row 2" in found.left_out[1], "row 3" in found.left_out[2]] == [True] * 3
    assert all("is no path below" in line and "--audio-root" in line for line in found.left_out[:2])
    assert "is an address" in found.left_out[2]
    import_table(Table(data, columns=SPOKEN, audio_root=tmp_path / "other"), tmp_path / "again")
    answers = [clip.questions[0].answer for clip in ShardReader(tmp_path / "again").clips]
    assert answers == ["Tone 0.", "Tone 1."]  # the first leads out of that folder and back into it


@pytest.mark.parametrize("kind", ["parquet", "saved"])
def test_paths_begin_in_the_folder_of_all_audio(tmp_path: Path, kind: str, monkeypatch) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "0.wav").write_bytes(packages.tone(300))
    data = paths(1, tmp_path / "data", "0.wav")
    if kind == "saved":  # by the library the file would be put into the table
        data = tmp_path / "saved"
        rows(1).save_to_disk(data)
        [file] = data.glob("*.arrow")
        table = rows(1, audio=[{"bytes": None, "path": "0.wav"}]).data.table
        with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    table = Table(Path("..") / data.name, audio_root=Path("../sounds"), columns=SPOKEN)
    assert import_table(table, tmp_path / "mine").num_clips == 1
    (tmp_path / "sounds" / "0.wav").write_bytes(packages.tone(300, seconds=1.0))  # replaced, and read again
    assert import_table(table, tmp_path / "mine").hours == pytest.approx(1 / 3600)


def test_what_a_damaged_file_holds_is_not_taken_for_all(tmp_path: Path) -> None:
    """Rows that can still be read do not make a source."""
    path = tmp_path / "train.parquet"
    write_table(rows(200).data.table, path, row_group_size=50, compression="gzip")
    content = bytearray(path.read_bytes())
    place = int(len(content) * 0.7)
    content[place : place + 2000] = b"\xff" * 2000
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"train.parquet: it is damaged"):
        import_table(Table(path, columns=SPOKEN), tmp_path / "mine")
    assert not (tmp_path / "mine" / "index.json").exists()


@pytest.mark.parametrize("group", [100, 800])
def test_a_large_file_is_read_a_few_rows_at_a_time(tmp_path: Path, group: int) -> None:
    random = np.random.default_rng(0)
    audio = [{"bytes": random.bytes(80_000), "path": f"{number}.wav"} for number in range(800)]
    pages = {"row_group_size": group, "write_batch_size": 16, "use_dictionary": False}  # a page is read whole
    write_table(rows(800, audio=audio).data.table, tmp_path / "t.parquet", **pages)
    before, most, count = pyarrow.total_allocated_bytes(), 0, 0
    for _, row in rows_of(tmp_path / "t.parquet", SPOKEN, tmp_path):
        count += len(row["audio"].open())
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert count == 64_000_000
    assert most < count / 3


def test_rows_are_told_by_their_split_or_file(tmp_path: Path) -> None:
    bad = rows(2, sentence=["a", None])
    datasets.DatasetDict(train=bad, validation=bad).save_to_disk(tmp_path / "saved")
    found = import_table(Table(tmp_path / "saved", columns=SPOKEN), tmp_path / "one")
    assert ["split train: row 2" in found.left_out[0], "split validation: row 2" in found.left_out[1]] == [True, True]
    (tmp_path / "hub").mkdir()
    for name in ("train-00000-of-00002", "train-00001-of-00002"):
        bad.to_parquet(tmp_path / "hub" / f"{name}.parquet")
    found = import_table(Table(tmp_path / "hub", columns=SPOKEN), tmp_path / "two")
    assert [
        "00000-of-00002.parquet: row 2" in found.left_out[0],
        "00001-of-00002.parquet: row 2" in found.left_out[1],
    ] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("name", "split"),
    [("data/validation-00000-of-00001", "dev"), ("test/train-0", "train"), ("test/0000", "test"), ("val", "dev")],
)
def test_a_file_says_its_split_before_its_folder_does(tmp_path: Path, name: str, split: str) -> None:
    path = tmp_path / "hub" / f"{name}.parquet"
    path.parent.mkdir(parents=True)
    rows(1).to_parquet(path)
    import_table(Table(tmp_path / "hub", columns=SPOKEN), tmp_path / "corpus" / "mine")
    assert [found for found, _, _ in splits(tmp_path / "corpus")] == [split]


def test_a_name_that_says_two_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    rows(1).to_parquet(tmp_path / "hub" / "train-test.parquet")
    with pytest.raises(CorpusError, match="its name says test and train"):
        import_table(Table(tmp_path / "hub", columns=SPOKEN), tmp_path / "mine")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("inside", ["", "out/mine"])
def test_a_data_set_is_not_written_into(tmp_path: Path, inside: str, force: bool) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows(1).to_parquet(data / "train.parquet")
    (data / "shard-00000.tar").write_bytes(b"precious")
    with pytest.raises(CorpusError, match="which is to be read"):
        import_table(Table(data, columns=SPOKEN), data / inside, force=force)
    assert sorted(path.name for path in data.iterdir()) == ["shard-00000.tar", "train.parquet"]
    assert (data / "shard-00000.tar").read_bytes() == b"precious"


def test_the_source_is_named_after_the_folder(tmp_path: Path, monkeypatch) -> None:
    data = tmp_path / "v1.0"
    data.mkdir()
    rows(1).to_parquet(data / "train.parquet")
    monkeypatch.chdir(data)
    assert main(["corpus", "import", ".", "--output", str(tmp_path / "corpus"), "--answer-column", "sentence"]) == 0
    assert [path.name for path in (tmp_path / "corpus").iterdir()] == ["v1.0"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "saved"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        path.write_text("audio,sentence\na.wav,Hi.\n")
    elif kind == "parquet":
        rows(1).to_parquet(path)
    else:
        rows(1).save_to_disk(path)
    with pytest.raises(CorpusError, match="no column 'prediction', but audio, sentence"):
        import_table(Table(path), tmp_path / "mine")
    assert not (tmp_path / "mine" / "index.json").exists()


def test_what_is_no_data_set_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    rows(1).save_to_disk(tmp_path / "odd" / "stage1")
    (tmp_path / "odd" / "dataset_dict.json").write_text('{"splits": ["stage1"]}')
    for name, words in {
        "gone": "there is no such file or folder",
        "empty": "it is empty",
        "other": "neither Parquet nor",
        "bad.parquet": "cannot be read as Parquet",
        "odd": "its split 'stage1' is none of",
    }.items():
        with pytest.raises(CorpusError, match=words):
            import_table(Table(tmp_path / name, columns=SPOKEN), tmp_path / "mine")

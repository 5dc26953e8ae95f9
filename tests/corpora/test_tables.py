"""Data sets of Hugging Face become shards, as the library and the hub lay them out."""

from pathlib import Path

import datasets
import pyarrow
import pytest
import tiny_packages as packages
from pyarrow.parquet import write_table

from opendasheng.cli import main
from opendasheng.corpora.importing import Table, import_table
from opendasheng.corpora.tables import Columns
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

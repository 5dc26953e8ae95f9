"""Tables: what their columns hold is read as it is."""

from pathlib import Path

from small_tasks import a_task, encoded

from opendasheng.evaluate.datasets import TaskData


def test_tables_made_of_tars_are_read_as_tars_are(tmp_path: Path) -> None:
    import datasets

    rows = {
        "__key__": ["k1_12345678"],
        "json": [{"text": "x", "domain": "S00"}],
        "flac": [{"bytes": b"-", "path": "1.flac"}],
    }
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    task = a_task({"audio": "flac", "text": "text"}, metric="sbert", dataset={"where": {"domain": ["S00", "S0A"]}})
    [example] = TaskData(task, tmp_path / "saved").examples()
    assert (example.id, example.fields, example.audio.open()) == ("k1_12345678", {"audio": "1.flac", "text": "x"}, b"-")


def test_columns_of_plain_bytes_are_audio(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    table = pyarrow.table({"sound": [encoded(n) for n in range(3)], "text": ["a", "b", "c"]})
    write_table(table, tmp_path / "a.parquet")
    data = TaskData(a_task({"audio": "sound", "text": "text"}, metric="sbert"), tmp_path / "a.parquet")
    assert [one.audio.open() for one in data.examples()] == [encoded(n) for n in range(3)]
    assert [one.id for one in data.examples(audio=False)] == ["row 0", "row 1", "row 2"]

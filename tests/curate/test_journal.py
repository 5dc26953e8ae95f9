"""Records on disk: appended, read again, and told where a line is none."""

import pytest

from opendasheng.curate.journal import Records, read_records, write_records
from opendasheng.curate.record import Findings, Record
from opendasheng.errors import ConfigError, CurationError


def _record(clip_id: str, value: int = 0) -> Record:
    record = Record(id=clip_id, source="s", recording="r", licence="CC0-1.0", duration_seconds=1.0)
    return record.heard("counting", Findings(version="1", values={"samples": value}))


def test_what_was_added_is_there_again_and_the_last_of_an_id_counts(tmp_path):
    journal = Records(tmp_path / "run" / "journal.jsonl")
    for record in (_record("a"), _record("b"), _record("a", 2)):
        journal.add(record)
    with pytest.raises(ConfigError, match="another process is writing it"):
        Records(journal.path)
    journal.close()
    again = Records(journal.path)
    assert again.by_id == journal.by_id == {"a": _record("a", 2), "b": _record("b")}
    again.close()


def test_a_line_that_a_kill_left_torn_is_forgotten(tmp_path):
    journal = Records(tmp_path / "journal.jsonl")
    journal.add(_record("a"))
    journal.add(_record("b"))
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-20])
    again = Records(journal.path)
    assert list(again.by_id) == ["a"]
    again.add(_record("b"))
    again.close()
    assert journal.path.read_bytes() == whole


@pytest.mark.parametrize("line", ['{"id": "a"}', "[]", '{"id": "a", "settings": "records-1"}'])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    path = tmp_path / "records.jsonl"
    write_records(path, [_record("a")])
    assert read_records(path) == [_record("a")]
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(CurationError, match=r"records\.jsonl, line 2: "):
        read_records(path)

"""A journal on a disk that fills up, and on what is no file or no journal. What it keeps is in commands/test_answer."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from full_disk import largest_file

from opendasheng.errors import ConfigError
from opendasheng.journal import Journal


def fill(path: Path, num_records: int) -> None:
    with Journal(path, "s") as journal:
        for number in range(num_records):
            journal.write({"id": number, "text": "an answer"})


def test_a_full_disk_is_named_and_what_is_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with largest_file(300), pytest.raises(ConfigError) as raised:
        fill(path, 99)
    said = f"{path}: cannot be written (File too large); what is in it stays: make room, and the same command goes on"
    assert str(raised.value) == said
    assert path.stat().st_size == 300
    kept = path.read_bytes().count(b"\n")
    with Journal(path, "s") as journal:
        assert [number for number in range(99) if journal.is_answered(number)] == list(range(kept))
        assert path.read_bytes().endswith(b"\n")


def test_closing_hides_no_error_and_has_one_of_its_own(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Journal(tmp_path / "a.jsonl", "s") as journal:
            with pytest.raises(ConfigError, match="cannot be written"):
                journal.write({"id": 1, "text": "an answer"})
            raise KeyboardInterrupt

    def carried_on() -> None:
        with Journal(tmp_path / "b.jsonl", "s") as journal, suppress(ConfigError):
            journal.write({"id": 1, "text": "an answer"})

    with largest_file(10), pytest.raises(KeyboardInterrupt):
        interrupted()
    with largest_file(10), pytest.raises(ConfigError, match="cannot be written"):
        carried_on()


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(ConfigError) as raised:
            Journal(path, "s")
        assert str(raised.value) == f"{path}: it is {kind}, and answers need a file; choose another --output"
    with pytest.raises(ConfigError, match=r"cannot be written \(embedded null byte\)"):
        Journal(tmp_path / "a\0b", "s")


@pytest.mark.parametrize(
    "line", [b'{"id": ' + b"[" * 100_000, b'{"id": ' + b"9" * 5_000 + b"}", b'{"id": [], "settings": "s"}']
)
def test_a_line_that_is_no_record_is_named_and_left_alone(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Journal(path, "s") as journal:
        journal.write({"id": 1, "text": "an answer"})
    content = path.read_bytes() + line + b"\n"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="line 2 is no answer that this program wrote; choose another --output"):
        Journal(path, "s")
    assert path.read_bytes() == content

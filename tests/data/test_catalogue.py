"""The paper's tables as data: they add up to what it prints, or say that they do not."""

import re
from pathlib import Path

import pytest

from opendasheng.cli import main
from opendasheng.data.catalogue import tables

REPORT = sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("001_*.txt"))


@pytest.mark.parametrize("table", tables(), ids=lambda table: str(table.number))
def test_sums_are_those_that_are_printed_or_a_note_says_which(table):
    for printed, found in zip((table.total, table.total_sft), table.sums(), strict=True):
        if printed is not None and printed != found:
            assert f"{found:,}" in table.note
            assert f"{printed:,}" in table.note
    assert (table.total is None) == ("no total" in table.note)
    assert len({row.name for row in table.datasets}) == len(table.datasets)
    assert all(row.size > 0 and row.tasks and re.match(r"(https://|hub:|$)", row.where) for row in table.datasets)


def test_there_is_every_row_of_the_report():
    assert {table.number: len(table.datasets) for table in tables()} == {14: 24, 15: 17, 16: 22, 17: 11, 18: 6}


@pytest.mark.skipif(not REPORT, reason="the report is not beside this checkout")
def test_names_and_sizes_are_those_of_the_report():
    text = REPORT[0].read_text(encoding="utf-8")
    text = text[text.index("Table 14:") :]
    for table in tables():
        for row in table.datasets:
            assert row.name in text, row
            assert f"{row.size:,}" in text or str(row.size) in text, row


def test_it_can_be_listed(capsys):
    assert main(["corpus", "catalogue", "--table", "17"]) == 0
    said = capsys.readouterr().out
    assert "MTG-Jamendo" in said
    assert "The rows add up to 5,834 hours" in said
    assert "LibriSpeech" not in said
    assert main(["corpus", "catalogue"]) == 0
    assert capsys.readouterr().out.count("Table ") == 5

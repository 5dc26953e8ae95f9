"""Rows outside memory are the rows that were written, in the order of their content."""

import random

import pytest

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.report import piles
from opendasheng.evaluate.report.breakdown import breakdowns
from opendasheng.evaluate.report.data import report
from opendasheng.evaluate.report.gather import gather
from opendasheng.evaluate.report.piles import Pile, Piles, Traits
from opendasheng.evaluate.report.write import write_report
from opendasheng.evaluate.rows import Row
from opendasheng.evaluate.scoring import judge


def test_a_pile_comes_out_sorted_whether_it_was_spilled_or_not():
    chance = random.Random(0)
    lines = [(f'{{"a":"{chance.randrange(50)}\\u00e9"}}', number, chance.choice("pf")) for number in range(500)]
    whole, parts = Pile(), Pile()
    for i, line in enumerate(lines):
        whole.add(*line)
        parts.add(*line)
        if i % 60 == 0:
            parts.spill()
    assert list(whole.sorted()) == list(parts.sorted()) == sorted(lines)


def test_piles_together_hold_no_more_than_one_may(monkeypatch):
    monkeypatch.setattr(piles, "_HELD_CHARACTERS", 10_000)
    found = Piles()
    for number in range(1000):
        found.add(("task", f"model {number % 3}", ""), '{"a":1}', number, "p")
        assert sum(len(pile._held) for pile in found.by_key.values()) < 100
    numbers = [number for pile in found.by_key.values() for _, number, _ in pile.sorted()]
    assert sorted(numbers) == list(range(1000))


def test_a_report_of_rows_on_disk_is_that_of_rows_in_memory(run, letters, tmp_path, monkeypatch):
    write_report(report([run], resources=letters, resamples=20), tmp_path / "memory")
    monkeypatch.setattr(piles, "_HELD_CHARACTERS", 2000)
    monkeypatch.setattr(piles, "_BLOCK_BYTES", 300)
    write_report(report([run], resources=letters, resamples=20), tmp_path / "disk")
    for path in (tmp_path / "memory").iterdir():
        assert (tmp_path / "disk" / path.name).read_bytes() == path.read_bytes()


def test_rows_are_read_in_any_order(run):
    (group, *_), _ = gather([run])
    rows = list(group.rows)
    assert [group.rows[i] for i in range(len(rows))] == group.rows[:] == rows
    assert group.rows[-1] == rows[-1]
    first = iter(group.rows)
    assert (next(first), group.rows[7], next(first)) == (rows[0], rows[7], rows[1])
    with pytest.raises(IndexError):
        group.rows[len(rows)]


def test_breakdowns_need_no_more_than_traits(rows):
    lengths = [0.1, 1, None, "long", float("nan"), True, -1, 30, 10**400 * 0 + 7]
    found = [
        Row("a.jsonl", i, rows.speech(i, source=f"s{i % 3}" if i % 4 else 5, speaker="\u00e9", duration_seconds=length))
        for i, length in enumerate(lengths * 3)
    ]
    traits = Traits()
    scored = judge(traits.noting(found), "librispeech-test-clean")
    assert breakdowns(traits, scored.outcome) == breakdowns(found, scored.outcome)
    assert (len(traits), traits.clustered) == (27, [])
    for row in traits.noting([Row("a.jsonl", 1, {"cluster": "c"})]):
        assert traits.clustered == [row]


def test_a_full_disk_is_said(monkeypatch):
    class Full:
        def tell(self):
            raise OSError(28, "No space left on device")

    store = piles.Store()
    monkeypatch.setattr(store, "_file", Full())
    with pytest.raises(EvaluationError, match=r"no room .*No space left.*TMPDIR"):
        store.add(b"a")

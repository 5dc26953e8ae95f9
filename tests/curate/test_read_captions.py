"""The table of captions that were read is the sum of the verdicts beside it."""

import csv
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
WORDS = ("ok", "wrong", "missing", "invented")


def test_the_table_is_the_sum_of_the_verdicts():
    with (DOCS / "read-captions.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len({row["clip"] for row in rows}) == len(rows) == 50
    page = (DOCS / "curation.md").read_text(encoding="utf-8")
    for maker, name in (("template", "template"), ("model", "Qwen2.5-Coder-1.5B-Instruct, 4 bits")):
        verdicts = [row[maker].split() for row in rows if row[maker] != "none"]
        assert {word for verdict in verdicts for word in verdict} <= set(WORDS)
        assert all("ok" not in verdict or verdict == ["ok"] for verdict in verdicts)
        counts = [len(verdicts), *(sum(word in verdict for verdict in verdicts) for word in WORDS)]
        assert f"| {name} | {' | '.join(map(str, counts))} |" in page

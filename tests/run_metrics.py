"""What a run of training has written into its ``metrics.jsonl``."""

import json


def lines(run):
    """All of them, in their order."""
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


def losses(run):
    """Losses by step."""
    return {line["step"]: line["loss"] for line in lines(run) if "loss" in line}

"""Training losses of several runs in one picture: losses.py PICTURE.svg NAME=RUN_FOLDER ... (needs matplotlib)."""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "opendasheng"  # the same runs give the same bytes
import matplotlib.pyplot as plt  # noqa: E402


def losses(run: Path) -> tuple[list[int], list[float]]:
    """Steps and training losses (nats an answer token) of a run."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    by_step = {line["step"]: line["loss"] for line in lines if "loss" in line}
    return list(by_step), list(by_step.values())


def draw(picture: Path, runs: dict[str, Path]) -> None:
    """One line for each run."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for name, run in runs.items():
        axes.plot(*losses(run), label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("cross entropy, nats a token")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]), {name: Path(run) for name, _, run in (word.partition("=") for word in sys.argv[2:])})

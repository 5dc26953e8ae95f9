"""What a threshold of the consistency filter keeps: threshold.py PICTURE.svg NAME=MATCH.json ... (needs matplotlib)."""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "opendasheng"  # the same figures give the same bytes
import matplotlib.pyplot as plt  # noqa: E402


def draw(picture: Path, judged: dict[str, Path]) -> None:
    """For each file of ``opendasheng eval match --output`` a line of own captions and a broken one of others'."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for number, (name, path) in enumerate(judged.items()):
        found = json.loads(path.read_text(encoding="utf-8"))
        thresholds = [point["threshold"] for point in found["curve"]]
        for kept, style, whose in (("own_kept", "-", "own"), ("others_kept", "--", "others'")):
            shares = [100 * point[kept] for point in found["curve"]]
            axes.plot(thresholds, shares, style, color=f"C{number}", label=f"{name}: {whose} captions")
        axes.axvline(found["threshold"], color="grey", linewidth=0.8)
    axes.set_xlabel("threshold of the cosine")
    axes.set_ylabel("captions kept, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]), {name: Path(path) for name, _, path in (word.partition("=") for word in sys.argv[2:])})

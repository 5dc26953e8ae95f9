"""The scores of several encoders side by side, as JSON and as a Markdown table; all figures in percent."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from opendasheng.evaluate.xares.averages import Averages, Scored, averages
from opendasheng.evaluate.xares.protocol import Settings, TaskScore

Json = dict[str, Any]


@dataclass(frozen=True)
class EncoderScores:
    """An encoder by the name it was asked for, and its scores, in the order of the tasks."""

    name: str
    fingerprint: str
    output_dim: int
    scores: tuple[TaskScore, ...]

    def averages(self) -> tuple[Averages, Averages]:
        """Of the heads, and of the neighbours over the tasks that have them."""
        mlp = [Scored(score.mlp, score.weight, score.task.private) for score in self.scores]
        knn = [Scored(s.knn, s.weight, s.task.private) for s in self.scores if s.knn is not None]
        return averages(mlp), averages(knn)


def document(encoders: Sequence[EncoderScores], settings: Settings, cautions: Sequence[str] = ()) -> Json:
    """Everything as one JSON object."""
    return {
        "benchmark": "X-ARES",
        "reading": settings.reading,
        "seeds": list(settings.seeds),
        "language_model": settings.language_model,
        "tokenizer": settings.tokenizer,
        "encoders": [
            {"name": encoder.name, "fingerprint": encoder.fingerprint, "output_dim": encoder.output_dim}
            for encoder in encoders
        ],
        "results": [_row(encoder, score) for encoder in encoders for score in encoder.scores],
        "averages": {encoder.name: _averages(encoder) for encoder in encoders},
        "cautions": list(cautions),
    }


def _row(encoder: EncoderScores, score: TaskScore) -> Json:
    task = score.task
    return {
        "encoder": encoder.name,
        "task": task.name,
        "title": task.title,
        "domain": task.domain,
        "metric": task.metric,
        "mlp": _percent(score.mlp),
        "mlp_by_seed": [_percent(value) for value in score.mlp_by_seed],
        "ci95": None if score.interval is None else [_percent(value) for value in score.interval],
        "knn": _percent(score.knn),
        "majority": _percent(score.majority),
        "weight": score.weight,
        "private": task.private,
        "num_items": score.num_items,
        "num_classes": score.num_classes,
        "epochs": list(score.epochs),
        "published": dict(task.published),
        "notes": list(score.notes),
    }


def _averages(encoder: EncoderScores) -> Json:
    named = zip(("mlp", "knn"), encoder.averages(), strict=True)
    return {name: {key: _percent(value) for key, value in asdict(found).items()} for name, found in named}


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 4)


def markdown(found: Json) -> str:
    """The table of a :func:`document`, with what has to be known of its figures below it."""
    names = [encoder["name"] for encoder in found["encoders"]]
    rows = {name: [row for row in found["results"] if row["encoder"] == name] for name in names}
    published = any(row["published"] for row in found["results"])
    heads = ["task", "metric", "test", "majority"]
    heads += [f"{name} {kind}" for name in names for kind in ("MLP", "kNN")]
    heads += ["report: ours", "report: Whisper"] if published else []
    lines = [heads, ["---"] * 2 + ["--:"] * (len(heads) - 2)]
    for same in zip(*rows.values(), strict=True):
        first = same[0]
        line = [first["title"], first["metric"], _test_items(first), _figure(first["majority"])]
        for row in same:
            line += [_with_spread(row), _figure(row["knn"])]
        if published:
            line += [_figure(first["published"].get(whose)) for whose in ("ours", "whisper")]
        lines.append(line)
    private = any(row["private"] for row in found["results"])
    for key, title in [("public", "weighted, public")] * private + [("all", "weighted average")]:
        line = [f"*{title}*", "", "", ""]
        for name in names:
            line += [_figure(found["averages"][name][kind][key]) for kind in ("mlp", "knn")]
        lines.append(line + [""] * (len(heads) - len(line)))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{_legend(found)}"


def _test_items(row: Json) -> str:
    tested = row["num_items"]
    return str(tested.get("test", sum(tested.values())))


def _with_spread(row: Json) -> str:
    """The mean over seeds, with the smallest and largest, or the interval of the one there is."""
    low, high = row["ci95"] or (None, None)
    if len(row["mlp_by_seed"]) > 1:
        low, high = min(row["mlp_by_seed"]), max(row["mlp_by_seed"])
    return _figure(row["mlp"]) + ("" if low is None else f" ({_figure(low)}-{_figure(high)})")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _legend(found: Json) -> str:
    seeds = found["seeds"]
    spread = "smallest and largest over seeds" if len(seeds) > 1 else "95 % interval over test clips"
    lines = [
        f"Percent; reading `{found['reading']}`; seeds {', '.join(map(str, seeds))}; in parentheses: {spread}. "
        "majority: accuracy of always answering the most common training class."
    ]
    notes = {f"{row['title']}: {note}" for row in found["results"] for note in row["notes"]} | set(found["cautions"])
    return "\n".join([*lines, *(f"- {note}." for note in sorted(notes))])

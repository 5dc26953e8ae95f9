"""Plans as Markdown. Nothing here loads torch: results of other benches are printed without it."""

from collections.abc import Sequence
from typing import Any, Final

Json = dict[str, Any]
GIB: Final = 2**30

_COLUMNS: Final = (
    "stage",
    "GPUs",
    "layout",
    "blocks again",
    "weights",
    "gathered",
    "gradients",
    "optimizer",
    "kept",
    "logits",
    "peak",
    "traced",
    "fits",
    "TMAC",
    "computing",
    "sending",
    "steps",
    "days",
)


def name_of(model: str, entry: Json) -> str:
    """What tells a plan from others."""
    batch, way = entry["batch"], entry["way"]
    words = [
        f"{model} {entry['stage']}",
        f"{entry['machine']['gpus']} GPUs, {way['layout']}",
        f"{'' if way['checkpointing'] else 'no '}checkpointing",
        f"{way['precision']}, {way['optimizer']} optimizer",
        f"{way['accumulate']} x {batch['clips']} x {batch['clip_seconds']:g} s",
    ]
    return ", ".join(words)


def markdown(plans: dict[str, Json]) -> str:
    """A table of plans, and of the steps that were measured."""
    entries = [entry for entry in plans.values() if "measured" not in entry]
    measured = {name: entry for name, entry in plans.items() if "measured" in entry}
    return "\n\n".join(
        [*([_plans_table(entries)] if entries else []), *([_measured_table(measured)] if measured else [])]
    )


def _plans_table(entries: Sequence[Json]) -> str:
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for entry in entries:
        way, held, seconds = entry["way"], entry["bytes"], entry["seconds"]
        kept = held["kept"]["total"] - held["kept"]["logits"]
        sizes = [held["weights"], held["gathered"], held["gradients"] + held["in_flight"], held["optimizer"], kept]
        sizes += [held["kept"]["logits"] + held["loss"], held["peak"]]
        cells = [
            entry["stage"],
            str(entry["machine"]["gpus"]),
            way["layout"],
            "yes" if way["checkpointing"] else "no",
            *(f"{size / GIB:.1f}" for size in sizes),
            f"{entry['traced_peak'] / GIB:.1f}" if "traced_peak" in entry else "-",
            "yes" if entry["fits"] else "no",
            f"{way['accumulate'] * entry['macs']['total'] / 1e12:.1f}",
            f"{seconds['computing']:.2f} s",
            f"{seconds['sending']:.2f} s",
            str(entry["steps"]),
            f"{entry['days']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _measured_table(entries: dict[str, Json]) -> str:
    lines = [
        "| step | kept, reckoned | kept, measured | peak, reckoned | peak, measured | GMAC, reckoned | GMAC, counted | "
        "GFLOP/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in entries.items():
        held, found = entry["bytes"], entry["measured"]
        sizes = [held["kept"]["total"], found["kept"], held["peak"], found["peak"]]
        cells = [
            name,
            *(f"{size / 2**20:.1f} MiB" for size in sizes),
            *(f"{macs / 1e9:.2f}" for macs in (entry["macs"]["total"], found["macs"])),
            f"{2 * found['macs'] / found['seconds'] / 1e9:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)

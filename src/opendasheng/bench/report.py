"""Results as JSON and as Markdown.

A file of results holds ``machine``, ``versions``, ``results`` (each with ``name``, ``ratio``, ``interval``, ``goal``,
``bound``, ``command`` and the times behind the ratio), ``macs``, ``batches`` and ``plans``. It speaks of one machine
and one set of versions.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from opendasheng import __version__
from opendasheng.bench.macs import Row
from opendasheng.bench.plan.tables import markdown as plans_table
from opendasheng.bench.timing import MIN_RUNS, Comparison, Measurement, Times
from opendasheng.errors import ConfigError
from opendasheng.files import write_atomically

if TYPE_CHECKING:
    from opendasheng.bench.batches import Count

Json = dict[str, Any]


def entry(comparison: Comparison, measurement: Measurement, command: str) -> Json:
    """One result. ``ratio`` is the CPU time of theirs over ours; goal and bound are null where there is none."""
    low, high = measurement.interval()
    return {
        "name": comparison.name,
        "ratio": _rounded(measurement.ratio),
        "interval": [_rounded(low), _rounded(high)],
        "goal": comparison.goal,
        "bound": None if comparison.bound is None else _rounded(comparison.bound),
        "command": command,
        "runs": len(measurement.ours.cpu_seconds),
        "load_average": _load_average(),
        "ours": {"name": comparison.our_name, **_summary(measurement.ours)},
        "theirs": {"name": comparison.their_name, **_summary(measurement.theirs)},
    }


def _load_average() -> float | None:
    """Processes that wanted a core in the last minute, ours among them: how busy the machine was."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _summary(times: Times) -> Json:
    return {"cpu_seconds": _spread(times.cpu_seconds), "wall_seconds": _spread(times.wall_seconds)}


def _spread(seconds: Sequence[float]) -> Json:
    return {"median": _rounded(median(seconds)), "min": _rounded(min(seconds)), "max": _rounded(max(seconds))}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def verdict(result: Json) -> str:
    """Where the interval lies: "meets" its goal wholly, "below" it wholly, "open" across it, "" without a goal."""
    if result["goal"] is None:
        return ""
    low, high = result["interval"]
    return "meets" if low >= result["goal"] else "below" if high < result["goal"] else "open"


def document(
    results: list[Json], macs: Sequence[Row], batches: "Mapping[str, Count]", plans: Mapping[str, Json]
) -> Json:
    """Results with the machine and the versions that they were made on, exact counts, and plans."""
    return {
        "machine": machine(),
        "versions": versions(),
        "results": results,
        "macs": {row.work: _sides(row) for row in macs},
        "batches": {name: {"useful": count.useful, "computed": count.computed} for name, count in batches.items()},
        "plans": dict(plans),
    }


def _sides(row: Row) -> Json:
    return {"ours": row.ours, "theirs": row.theirs}


def machine() -> Json:
    """``cpu`` (model), ``cores``, ``memory_gib`` and ``platform``."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory_gib() -> int | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    except (AttributeError, OSError, ValueError):
        return None


def versions() -> dict[str, str]:
    """Of OpenDasheng, Python and the libraries that do the work."""
    found = {"opendasheng": __version__, "python": platform.python_version()}
    return found | {name: version(name) for name in ("torch", "transformers", "numpy")}


def merge(path: Path, new: Json) -> None:
    """Put ``new`` into the file of results at ``path``: entries of the same name are replaced, the others kept.

    Raises :class:`ConfigError` where :func:`read` does; where entries to be kept come from another machine or other
    versions; and where a trial of fewer than 7 runs would replace a result.
    """
    old = read(path)
    before = {result["name"]: result for result in old["results"]}
    after = {result["name"]: result for result in new["results"]}
    kept = [name for name in before if name not in after]
    for key in ("machine", "versions"):
        if kept and old[key] != new[key]:
            raise ConfigError(
                f"{path}: {', '.join(map(repr, kept))} would stay from another state of {key} ({old[key]}); "
                "measure all of them anew in one command, or choose another --output"
            )
    for name, result in after.items():
        if result["runs"] < MIN_RUNS <= before.get(name, result)["runs"]:
            raise ConfigError(
                f"{path}: {name!r} was measured with {before[name]['runs']} runs and {result['runs']} cannot replace "
                f"it; take --runs {MIN_RUNS} or more, or choose another --output"
            )
    counted = {key: old[key] | new[key] for key in ("macs", "batches", "plans")}
    merged = {**new, "results": list((before | after).values()), **counted}
    _write(path, json.dumps(merged, indent=2) + "\n")


def read(path: Path) -> Json:
    """The file of results at ``path``, or one without any where there is no such file.

    Raises :class:`ConfigError` for a file of another kind.
    """
    empty: Json = {"machine": {}, "versions": {}, "results": [], "macs": {}, "batches": {}, "plans": {}}
    if not path.exists():
        return empty
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON ({error}); choose another --output") from error
    if not isinstance(found, dict) or not set(empty) - {"batches", "plans"} <= set(found):
        raise ConfigError(f"{path} is no file of benchmark results; choose another --output")
    return empty | found


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def markdown(found: Json) -> str:
    """Tables of the results and of the MACs, those that there are, and a line about each goal."""
    parts = []
    if found["results"]:
        parts += [
            _results_table(found["results"]),
            *(_goal_line(result) for result in found["results"] if verdict(result)),
        ]
    if found["macs"]:
        parts.append(_macs_table(found["macs"]))
    if found["batches"]:
        parts.append(_batches_table(found["batches"]))
    if found["plans"]:
        parts.append(plans_table(found["plans"]))
    return "\n\n".join(parts)


def _results_table(results: list[Json]) -> str:
    lines = [
        "| comparison | ours, CPU | theirs, CPU | ratio | 95 % | goal | bound |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        ours, theirs = (_duration(result[side]["cpu_seconds"]) for side in ("ours", "theirs"))
        low, high = result["interval"]
        cells = [result["name"], ours, theirs, f"{result['ratio']:.4g}", f"{low:.4g} to {high:.4g}"]
        cells += ["-" if result[key] is None else f"{result[key]:.4g}" for key in ("goal", "bound")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _duration(spread: Json) -> str:
    scale, unit = (1.0, "s") if spread["median"] >= 1 else (1e3, "ms")
    middle, low, high = (f"{spread[key] * scale:.4g}" for key in ("median", "min", "max"))
    return f"{middle} {unit} ({low} to {high})"


def _goal_line(result: Json) -> str:
    said = {
        "meets": "meets its goal of {goal:g}",
        "below": "is below its goal of {goal:g}",
        "open": "is not told from its goal of {goal:g}",
    }[verdict(result)].format(goal=result["goal"])
    low, high = result["interval"]
    return f"{result['name']}: {result['ratio']:.4g} ({low:.4g} to {high:.4g}) {said}."


def _macs_table(macs: dict[str, Json]) -> str:
    lines = ["| work | ours, GMAC | Qwen2.5-Omni, GMAC | ratio |", "|---|---|---|---|"]
    for work, sides in macs.items():
        ours, theirs = sides["ours"], sides["theirs"]
        lines.append(f"| {work} | {ours / 1e9:.2f} | {theirs / 1e9:.2f} | {theirs / ours:.3f} |")
    return "\n".join(lines)


def _batches_table(batches: dict[str, Json]) -> str:
    lines = ["| batches | useful patches | computed | computed / useful |", "|---|---|---|---|"]
    for name, count in batches.items():
        useful, computed = count["useful"], count["computed"]
        lines.append(f"| {name} | {useful} | {computed} | {computed / useful:.3f} |")
    return "\n".join(lines)

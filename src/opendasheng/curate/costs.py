"""What a run takes: CPU seconds of each step and expert, for each hour of audio, and how busy the machine was.

Parts of a run are added up. The file is written every half minute, so that of one that is killed no more is lost.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from opendasheng.curate.expert import library
from opendasheng.curate.record import Record
from opendasheng.files import write_atomically
from opendasheng.markdown import table

_SECONDS_BETWEEN_WRITES = 30.0


@dataclass
class Cost:
    """Of one step or expert: the clips that it worked on, how long those are, and the CPU seconds that it took."""

    clips: int = 0
    audio_seconds: float = 0.0
    cpu_seconds: float = 0.0


class Costs:
    """The costs in the file ``path``, and those of now; a file that cannot be read begins anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.steps: dict[str, Cost] = {}
        self.wall_seconds = self.busy_seconds = 0.0
        self._last: tuple[float, float] | None = None
        try:
            told = json.loads(path.read_bytes())
            self.steps = {str(name): Cost(**fields) for name, fields in told["steps"].items()}
            self.wall_seconds, self.busy_seconds = float(told["wall_seconds"]), float(told["busy_seconds"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.steps = {}

    def add(self, record: Record, seconds: Mapping[str, float]) -> None:
        """CPU seconds that each step took for a clip."""
        for name, spent in seconds.items():
            cost = self.steps.setdefault(name, Cost())
            cost.clips += 1
            cost.audio_seconds += record.duration_seconds
            cost.cpu_seconds += spent
        if self._last is not None and time.monotonic() - self._last[0] > _SECONDS_BETWEEN_WRITES:
            self._write()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Counts the time of its body, and how much of it the cores of this machine were at work, whoever for, and
        writes the file."""
        self._last = time.monotonic(), _idle_seconds()
        try:
            yield
        finally:
            self._write()
            self._last = None

    def table(self) -> str:
        """The costs as Markdown, the dearest first; empty where nothing was done."""
        if not self.steps:
            return ""
        total = sum(cost.cpu_seconds for cost in self.steps.values())
        rows = [
            (
                name,
                str(cost.clips),
                f"{cost.cpu_seconds:.1f}",
                f"{3600 * cost.cpu_seconds / max(cost.audio_seconds, 1e-9):.0f}",
                f"{100 * cost.cpu_seconds / max(total, 1e-9):.0f}",
            )
            for name, cost in sorted(self.steps.items(), key=lambda item: -item[1].cpu_seconds)
        ]
        heard = max(cost.audio_seconds for cost in self.steps.values())
        cores = os.cpu_count() or 1
        share = self.busy_seconds / max(self.wall_seconds * cores, 1e-9)
        return (
            table(("step", "clips", "CPU s", "CPU s an hour of audio", "% of all"), rows, right=(1, 2, 3, 4))
            + f"\n\n{heard / 3600:.2f} h of audio in {self.wall_seconds:.0f} s; the {cores} cores of this machine were "
            f"busy {100 * share:.0f} % of the time\n"
        )

    def _write(self) -> None:
        """Count the time since the last time, and write the file."""
        if self._last is not None:
            began, before = self._last
            self._last = time.monotonic(), _idle_seconds()
            wall = self._last[0] - began
            self.wall_seconds += wall
            self.busy_seconds += max(0.0, wall * (os.cpu_count() or 1) - (self._last[1] - before))
        told = {
            "wall_seconds": round(self.wall_seconds, 2),
            "busy_seconds": round(self.busy_seconds, 2),
            "steps": {name: asdict(cost) for name, cost in self.steps.items()},
        }
        write_atomically(self._path, (json.dumps(told, indent=1) + "\n").encode())


def _idle_seconds() -> float:
    """How long the cores of this machine had nothing to do since it started, all of them together."""
    times = library("psutil", "the cost table").cpu_times()
    return float(sum(getattr(times, kind, 0.0) for kind in ("idle", "iowait")))

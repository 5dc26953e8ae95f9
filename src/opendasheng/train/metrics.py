"""How a run goes: ``metrics.jsonl`` line by line, the log, and TensorBoard where it is wanted."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opendasheng.errors import ConfigError
from opendasheng.files import mend_lines
from opendasheng.train.checkpoint import writing

log = logging.getLogger(__name__)


class Metrics:
    """Writes what a run records into its folder: to ``metrics.jsonl``, to the log, and to ``tensorboard/``."""

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        """Mends a last line that a kill or a full disk left torn. Raises :class:`ConfigError` where ``tensorboard`` is
        asked for and not installed, :class:`TrainingError` where the disk takes no more."""
        self._folder, self._path, self._events = folder, folder / "metrics.jsonl", folder / "tensorboard"
        mend_lines(self._path)
        self._writer = None
        if tensorboard:
            with writing(self._events, folder):
                self._writer = _Events(self._events)

    def write(self, values: dict[str, Any]) -> None:
        """One record. ``step`` is among ``values``; numbers are scalars by step, ``samples`` are texts.

        Raises :class:`TrainingError` where the disk takes no more.
        """
        with writing(self._path, self._folder), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
        shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in values.items() if k != "samples"}
        log.info("  ".join(f"{key} {value}" for key, value in shown.items()))
        for sample in values.get("samples", []):
            log.info("    %s", sample)
        if self._writer is not None:
            with writing(self._events, self._folder):
                self._writer.write(values["step"], {name: values[name] for name in shown if name != "step"})


class _Events:
    """Scalars by step, as TensorBoard reads them. Its own writer is a thread, which prints what goes wrong there."""

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from torch.utils.tensorboard import RecordWriter
        except ModuleNotFoundError as error:
            raise ConfigError("loop.tensorboard needs the extra: pip install 'opendasheng[tensorboard]'") from error
        self._event, self._records = Event, RecordWriter
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self._append(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        event = self._event(wall_time=time.time(), step=step)
        for name, value in scalars.items():
            event.summary.value.add(tag=name, simple_value=value)
        self._append(event)

    def _append(self, event: Any) -> None:
        with self._path.open("ab") as file:
            self._records(file).write(event.SerializeToString())


class Meter:
    """Means over the steps since the last record, with throughput and time to go."""

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._steps: list[dict[str, float]] = []
        self._clock = time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What goes on meanwhile is no time of the steps."""
        began = time.monotonic()
        yield
        self._clock += time.monotonic() - began

    @property
    def has_steps(self) -> bool:
        """Whether there is anything to record."""
        return bool(self._steps)

    def add(self, stats: dict[str, float]) -> None:
        """Count one step."""
        self._steps.append(stats)

    def flush(self, step: int, total: int) -> dict[str, float]:
        """Record of the steps since the last one, and begin anew."""
        elapsed = time.monotonic() - self._clock
        mean = {key: sum(stats[key] for stats in self._steps) / len(self._steps) for key in self._steps[0]}
        seconds_a_step = elapsed / len(self._steps)
        mean["epoch"] = self._steps[-1]["epoch"]
        mean["waiting"] = mean.pop("waited_seconds") / seconds_a_step
        mean["audio_seconds_per_second"] = mean["audio_seconds"] / seconds_a_step
        mean["items_per_second"] = mean["items"] / seconds_a_step
        mean["eta_minutes"] = (total - step) * seconds_a_step / 60
        self._restart()
        return mean

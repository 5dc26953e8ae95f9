"""What commands say on stderr: a line, or how far a long one is (a bar on a terminal, else a line now and then)."""

import sys
import time
from types import TracebackType
from typing import Any, Self

_SECONDS_BETWEEN_LINES = 30.0


def say(message: str) -> None:
    """One line, in the name of the program."""
    print(f"opendasheng: {' '.join(message.split())}", file=sys.stderr, flush=True)


class Progress:
    """Counts clips that are done, of ``total``. ``bar`` may be switched off where something else shows progress."""

    def __init__(self, total: int, *, bar: bool) -> None:
        self.total = total
        self.done = 0
        self._began = self._spoke = time.monotonic()
        self._bar: Any = _rich_bar() if bar and total > 1 and sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task("", total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self) -> None:
        """One clip more is done."""
        self.done += 1
        now = time.monotonic()
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])
        elif not sys.stderr.isatty() and now - self._spoke >= _SECONDS_BETWEEN_LINES and self.done < self.total:
            self._spoke = now
            rate = self.done / (now - self._began)
            left = (self.total - self.done) / rate
            line = f"opendasheng: {self.done} of {self.total} clips, {rate:.2f} a second, {left / 60:.1f} min left"
            print(line, file=sys.stderr, flush=True)


def _rich_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0.0:.2f}/s")

    # stdout stays untouched: it may be a pipe, and then holds nothing but answers.
    columns = (BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)

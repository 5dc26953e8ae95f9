"""Clips that end the process that hears them, by a fault in native code or by never coming to an end.

What is being heard is marked in a folder that all machines see. Who finds a mark there knows that the process before
has died of the clip; after two such deaths it is given up.
"""

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_DEATHS = 2
_STDERR = 2  # Ray puts something else in the place of sys.stderr


class Guard:
    """The marks of a run, in ``folder``. An expert has ``seconds`` for a clip; then its process ends."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder, self._seconds = folder, seconds

    def num_deaths(self, expert: str, clip_id: str) -> int:
        """How many processes have died of a clip in the hands of an expert."""
        try:
            return len(self._mark(expert, clip_id).read_bytes())
        except FileNotFoundError:
            return 0

    @contextmanager
    def hearing(self, expert: str, clip_id: str) -> Iterator[None]:
        """While the body runs, the clip is marked as one more death, and the process ends after the time it has."""
        mark = self._mark(expert, clip_id)
        mark.parent.mkdir(parents=True, exist_ok=True)
        with mark.open("ab") as file:
            file.write(b"+")
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=_STDERR)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            mark.unlink(missing_ok=True)

    def _mark(self, expert: str, clip_id: str) -> Path:
        return self._folder / expert / clip_id

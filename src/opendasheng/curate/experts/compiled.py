"""librosa, parts of which numba compiles when they are first asked for and keeps on disk for other processes.

Where two processes compile the same part at once, numba can keep what calls into each other and does not fit: every
process that loads it, then and later, ends in a segmentation fault. So one compiles at a time, and the others load.
"""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from opendasheng.audio import Waveform
from opendasheng.curate.expert import library
from opendasheng.lengths import SAMPLE_RATE_HZ

_FOLDER = "NUMBA_CACHE_DIR"


class Librosa:
    """librosa for an expert; ``calls`` are all that the expert makes of the module and the audio of a clip."""

    def __init__(self, user: str, calls: Callable[[Any, Waveform], object]) -> None:
        """Raises :class:`ConfigError` where librosa is not installed."""
        os.environ.setdefault(_FOLDER, str(_own_folder()))  # numba reads it when librosa first brings it in
        self._module = library("librosa", user)
        self._calls = calls

    @property
    def version(self) -> str:
        """That of librosa."""
        return str(self._module.__version__)

    @cached_property
    def ready(self) -> Any:
        """The module, once its parts are compiled or loaded: some seconds, and half a minute for the first process."""
        with _one_at_a_time(Path(os.environ[_FOLDER])):
            self._calls(self._module, np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE_HZ, np.float32))
        return self._module


def _own_folder() -> Path:
    """Of this user on this machine, so that machines that share a home do not share what is compiled."""
    return Path("~/.cache/opendasheng/numba").expanduser() / socket.gethostname()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Alone among all processes that compile into ``folder``; one that cannot be written to gives way to a new one."""
    from filelock import FileLock  # huggingface_hub brings it

    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_usable = os.access(folder, os.W_OK)
    except OSError:
        is_usable = False
    if not is_usable:
        folder = Path(tempfile.mkdtemp(prefix="opendasheng-numba-"))
        os.environ[_FOLDER] = str(folder)
    with FileLock(folder / "lock"):
        yield

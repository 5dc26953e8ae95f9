"""One thread, for all numeric libraries of the process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opendasheng.errors import ConfigError

VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def ask_for_one_thread() -> None:
    """Set what numeric libraries read when they are first imported; so call it before that.

    Raises :class:`ConfigError` where the environment asks for more than one thread.
    """
    for variable in VARIABLES:
        if os.environ.setdefault(variable, "1") != "1":
            raise ConfigError(f"{variable} is {os.environ[variable]}; speed is compared on one thread: set it to 1")


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread and without gradients; as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)

"""Experts for tests, made by name (``tiny_listeners:Counting``) in processes of their own.

tiny_listeners.py CORPUS MARKS SECONDS     the clips of a corpus as Counting hears them, a record a line
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

from opendasheng.curate.config import InputConfig
from opendasheng.curate.expert import Expert
from opendasheng.curate.inputs import CorpusInput
from opendasheng.curate.pool import Listen, Read
from opendasheng.curate.record import Event, Findings


def python_path() -> str:
    """A PYTHONPATH by which other processes find these experts."""
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])


class Counting(Expert):
    """Counts samples; of clips whose id says so it fails, ends its process, or never comes to an end."""

    name = "counting"
    aspects = ("samples",)

    def __init__(self, log: str = "", version: str = "1") -> None:
        self._log, self._version = log, version

    @property
    def version(self) -> str:
        return self._version

    def hear(self, audio, record):
        if self._log:
            with Path(self._log).open("a") as file:
                file.write(f"{record.id}\n")
        if "fails" in record.id:
            raise ValueError("cannot hear it")
        if "dies" in record.id:
            os._exit(7)
        if "hangs" in record.id:
            time.sleep(1000)
        return Findings(version=self.version, values={"samples": int(np.size(audio))})


class Odd(Expert):
    """Breaks the rules of experts, in the way that ``how`` says."""

    name = "odd"
    aspects = ("samples",)
    version = "1"

    def __init__(self, how: str) -> None:
        self._how = how
        if how == "unmade":
            raise RuntimeError("no such weights")

    def wants(self, record):
        if self._how == "unwilling":
            raise KeyError("no wish")
        return True

    def hear(self, audio, record):
        if self._how == "leaves":
            raise SystemExit(3)


class Barking(Expert):
    """Hears a dog in every clip."""

    name = "tags"
    aspects = ("tags",)
    version = "1"

    def __init__(self) -> None:
        pass

    def hear(self, audio, record):
        dog = Event(label="Dog", start_seconds=0.0, end_seconds=record.duration_seconds, confidence=0.9)
        return Findings(version=self.version, values={"tags": ("Dog",)}, events=(dog,))


class Placed(Expert):
    """Takes some time, and tells on which node of Ray and by which process it hears."""

    name = "placed"
    aspects = ("node", "process")
    version = "1"

    def __init__(self, seconds: str) -> None:
        self._seconds = float(seconds)

    def hear(self, audio, record):
        import ray

        time.sleep(self._seconds)
        node = ray.get_runtime_context().get_node_id()
        return Findings(version=self.version, values={"node": node, "process": os.getpid()})


class Missing(Expert):
    """Cannot be made."""

    name = "missing"
    aspects = ()
    version = "1"

    def __init__(self) -> None:
        from opendasheng.errors import ConfigError

        raise ConfigError("it needs a package that nobody has")

    def hear(self, audio, record):
        raise AssertionError


def main(corpus: str, marks: str, seconds: str) -> None:
    """Hear all clips in one batch, in this process."""
    config = InputConfig(corpus)
    batch = Read(config)({"record": [record.to_line() for record in CorpusInput(config).records()]})
    heard = Listen(["tiny_listeners:Counting"], {}, Path(marks), float(seconds))(batch)
    print("\n".join(heard["record"]))


if __name__ == "__main__":
    main(*sys.argv[1:])

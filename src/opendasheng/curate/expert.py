"""An expert: a model or a measure that reports one side of a clip."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from opendasheng.audio import Waveform
from opendasheng.curate.record import Findings, Record


@dataclass(frozen=True)
class Resources:
    """What one copy of an expert takes of a machine, as Ray counts it; ``gpus`` may be a part of one."""

    cpus: float = 1.0
    gpus: float = 0.0


class Expert(ABC):
    """``name`` is that of its findings in a record, ``aspects`` what it speaks of. A constructor raises
    :class:`~opendasheng.errors.ConfigError` where a package, or :class:`~opendasheng.errors.CheckpointError` where a
    file, is missing: the expert is then named and left out."""

    name: ClassVar[str]
    aspects: ClassVar[tuple[str, ...]]
    resources: ClassVar[Resources] = Resources()

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the code and the weights: with another, clips are heard anew."""

    def wants(self, record: Record) -> bool:
        """Whether there is something to hear for it, by what the experts before it report; by default always."""
        del record
        return True

    @abstractmethod
    def hear(self, audio: Waveform, record: Record) -> Findings:
        """What it reports of ``audio``, mono float32 ``(S,)`` at 16 kHz."""

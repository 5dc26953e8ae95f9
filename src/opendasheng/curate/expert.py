"""An expert: a model or a measure that reports one side of a clip."""

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar

from opendasheng.audio import Waveform
from opendasheng.curate.record import Findings, Record
from opendasheng.errors import ConfigError


class Expert(ABC):
    """``name`` is that of its findings in a record, ``aspects`` what it speaks of. A constructor raises
    :class:`~opendasheng.errors.ConfigError` where a package, or :class:`~opendasheng.errors.CheckpointError` where a
    file, is missing: the expert is then named and left out."""

    name: ClassVar[str]
    aspects: ClassVar[tuple[str, ...]]
    kind: ClassVar[str] = ""
    """Of the clips that it hears: speech, singing or music, as far as is known; empty: all."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the code and the weights: with another, clips are heard anew."""

    def wants(self, record: Record) -> bool:
        """Whether there is something to hear for it, by what the experts before it report."""
        return not self.kind or record.may_have(self.kind)

    @abstractmethod
    def hear(self, audio: Waveform, record: Record) -> Findings:
        """What it reports of ``audio``, mono float32 ``(S,)`` at 16 kHz."""


def library(name: str, user: str) -> Any:
    """A module of the extra ``curate``, for ``user``. Raises :class:`ConfigError` where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ConfigError(f"{user} needs the extra: pip install 'opendasheng[curate]' (it brings {package})") from error

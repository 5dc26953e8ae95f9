"""Members of tars and lines of JSON, found without reading what they hold, and without trust in it.

Nothing is unpacked. What is wrong with one is told in its place, and the others are found.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from opendasheng.audio import describe
from opendasheng.errors import CorpusError


@dataclass(frozen=True)
class Part:
    """``size`` bytes of the file ``path`` from ``offset`` on: a member called ``name``, or a line by its number."""

    path: Path
    name: str
    offset: int
    size: int

    @property
    def place(self) -> str:
        """Where it lies, in words."""
        return describe(_place(self.path, self.offset, self.name))

    def read(self) -> bytes:
        """What it holds. Raises :class:`CorpusError` where the file has ended before, or cannot be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise CorpusError(f"{self.place} cannot be read ({error.strerror})") from error
        if len(content) != self.size:
            raise CorpusError(f"{self.place} ends too early; fetch the file again")
        return content


@dataclass(frozen=True)
class Fault:
    """What is wrong at a ``place``."""

    place: str
    reason: str


def members_of(path: Path) -> Iterator[Part | Fault]:
    """The files in a tar that is not compressed, in their order; of a damaged one, those before the damage."""
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                vars(archive)["members"].clear()  # otherwise every header of the tar stays in memory
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    yield Fault(_place(path, member.offset, member.name), "its name leads out of the tar")
                elif member.isreg() and not member.issparse():
                    yield Part(path, member.name, member.offset_data, member.size)
                elif not member.isdir():
                    yield Fault(_place(path, member.offset, member.name), "it is a link or a device, and no file")
            # A tar ends with zeros; tarfile takes one that breaks off within a header for whole.
            assert archive.fileobj is not None
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                yield Fault(str(path), f"it is damaged or cut short after {archive.offset} bytes; fetch it again")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        yield Fault(str(path), f"not a whole tar ({error}); fetch it again")


def lines_of(path: Path) -> Iterator[Part | Fault]:
    """The lines of a file that are not empty, called line 1 and so on."""
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield Part(path, f"line {number}", offset, len(line))
                offset += len(line)
    except OSError as error:
        yield Fault(str(path), f"it cannot be read ({error.strerror})")


def _place(path: Path, offset: int, name: str) -> str:
    """A tar may have many members of one name."""
    return f"{path}, byte {offset}: {name}"

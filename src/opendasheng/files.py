"""Files and folders that are written whole or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of ``path`` on leaving: it lies beside it until it is on the disk.

    An exception leaves ``path`` as it was. A link stays a link to the file that is replaced, and a file keeps its
    mode. Each process writes a temporary file of its own, so that the last of several to finish counts.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)  # a full disk does not say where
        raise


def mend_lines(path: Path) -> None:
    """Drop the last line of a file where a kill or a full disk left it torn; a file that is not there is whole."""
    if path.is_file():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, as :func:`replacing` does."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of ``folder`` on leaving; an exception leaves that as it was.

    Files get the mode that new files have: some writers keep theirs from other users.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    os.umask(mask := os.umask(0o077))
    for path in temporary.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o666 & ~mask)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def sha256(path: Path) -> str:
    """Hex digest of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_name(text: str) -> bool:
    """Whether ``text`` is one part of a path, and leads nowhere else: pathlib takes '..' for a name too."""
    return text not in ("", ".", "..") and "\0" not in text and Path(text).name == text


def fcntl_module() -> Any:
    """The locks of POSIX; None on Windows."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return None
    return fcntl

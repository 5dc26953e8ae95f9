"""Debian packages as a source of audio: find or download a .deb, and read its files without dpkg."""

import io
import lzma
import shutil
import subprocess
import tarfile
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from opendasheng.errors import CorpusError
from opendasheng.files import sha256

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
_DOWNLOAD_TIMEOUT_SECONDS = 1800
# Streams: a member can be read while the archive passes by, and nothing is unpacked twice.
_TAR_MODES: dict[str, Literal["r|", "r|gz", "r|xz"]] = {"": "r|", "gz": "r|gz", "xz": "r|xz"}


@dataclass(frozen=True)
class Package:
    """One .deb file on disk; ``name`` and ``version`` are those of its file name (NAME_VERSION_ARCH.deb)."""

    name: str
    version: str
    path: Path

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the whole file."""
        return sha256(self.path)

    def members(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Path (without the leading ``./``) and content of each regular file that ``wanted`` accepts, in archive order.

        Raises:
            CorpusError: not a .deb, a compression other than xz, gzip or none, or a damaged archive.
        """
        name, content = _data_member(self.path)
        compression = name.removeprefix("data.tar").removeprefix(".")
        if compression not in _TAR_MODES:
            known = ", ".join(kind or "none" for kind in _TAR_MODES)
            raise CorpusError(f"{self.path}: {name} has compression {compression!r}, supported are {known}")
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode=_TAR_MODES[compression]) as archive:
                for member in archive:
                    path = member.name.removeprefix("./")
                    if member.isreg() and wanted(path):
                        file = archive.extractfile(member)
                        assert file is not None  # a regular file always has content
                        yield path, file.read()
        except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
            raise CorpusError(f"{self.path} is damaged ({error}); download it again") from error

    def read(self, wanted: Callable[[str], bool]) -> dict[str, bytes]:
        """Like ``members``, all at once and sorted by path.

        Raises:
            CorpusError: as ``members``, or no file is wanted: the package is not laid out as its builder expects.
        """
        found = dict(sorted(self.members(wanted)))
        if not found:
            raise CorpusError(f"{self.path} holds none of the files its builder looks for; is {self.version} too new?")
        return found


def _data_member(path: Path) -> tuple[str, bytes]:
    """Name and content of the ``data.tar*`` member of an ar archive."""
    with path.open("rb") as file:
        if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise CorpusError(f"{path} is not a Debian package (no ar header); remove it and download it again")
        while len(header := file.read(_AR_HEADER_BYTES)) == _AR_HEADER_BYTES:
            name = header[:16].decode("ascii", "replace").strip().rstrip("/")
            try:
                size = int(header[48:58])
            except ValueError as error:
                raise CorpusError(f"{path}: broken ar header {header[:58]!r}; download the package again") from error
            if name.startswith("data.tar"):
                return name, file.read(size)
            file.seek(size + size % 2, io.SEEK_CUR)
    raise CorpusError(f"{path} holds no data.tar; download the package again")


@dataclass(frozen=True)
class PackageStore:
    """Where packages come from: ``packages`` if it holds them, else downloaded once into ``cache`` with apt-get.

    ``packages`` is a folder the user fills and is never written to; without it everything is downloaded.
    """

    cache: Path
    packages: Path | None = None

    def get(self, name: str) -> Package:
        """The package ``name``, downloading it if it is in neither folder.

        Raises:
            CorpusError: several versions in one folder, or the download fails or is impossible.
        """
        for folder in (self.packages, self.cache):
            package = self._find(folder, name) if folder is not None else None
            if package is not None:
                return package
        self._download(name)
        package = self._find(self.cache, name)
        if package is None:
            raise CorpusError(f"the download of {name} left nothing in {self.cache}; put it there by hand")
        return package

    def _download(self, name: str) -> None:
        if shutil.which("apt-get") is None:
            where = self.packages or self.cache
            raise CorpusError(f"package {name} is not in {where} and apt-get is not installed; put its .deb there")
        self.cache.mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "download", "-q", name]
        try:
            done = subprocess.run(
                command, cwd=self.cache, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CorpusError(
                f"{' '.join(command)} took over {_DOWNLOAD_TIMEOUT_SECONDS} s; download it by hand"
            ) from error
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise CorpusError(
                f"{' '.join(command)} failed ({reason[0]}); run apt-get update, or put the .deb in a folder"
            )

    def _find(self, folder: Path, name: str) -> Package | None:
        found = sorted(folder.glob(f"{name}_*.deb"))
        if len(found) > 1:
            raise CorpusError(
                f"{folder} holds several versions of {name}: {', '.join(p.name for p in found)}; keep one"
            )
        if not found:
            return None
        # apt writes the colon of an epoch as %3a.
        return Package(name, urllib.parse.unquote(found[0].stem.split("_")[1]), found[0])

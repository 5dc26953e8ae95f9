"""WebDataset shards: tars in which the members of a sample follow each other and share a name up to the first dot."""

import glob
import json
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opendasheng.data.records import AUDIO_SUFFIXES, Record, Sound, base_name, naming, of_split
from opendasheng.errors import EvaluationError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_MEMBER = re.compile(r"(?P<key>(?:.*/)?[^./][^./]*)\.(?P<kind>[^/]+)")
_TEXT_KINDS = frozenset(("txt", "text", "cls", "transcript", "id"))


class TarShards:
    """Samples of one tar or several, in the order of their names.

    Columns are the keys of a sample's JSON, each member under its suffix (``json`` whole, ``txt`` and ``cls`` as text),
    and ``__key__``. Audio of a plain tar stays in the file until it is opened; one that is compressed is read through.
    """

    def __init__(self, paths: list[Path], name: str) -> None:
        self.name = name
        self.folder: Path | None = None
        self._paths = paths

    def records(self, *, audio: bool) -> Iterator[Record]:
        """The samples; raises :class:`EvaluationError` for a tar that is damaged or cut short, and for bad JSON."""
        for path in self._paths:
            sample = _Sample("")
            for key, kind, member in _members(path, audio):
                if key != sample.key:
                    yield from sample.record()
                    sample = _Sample(key)
                sample.add(kind, member)
            yield from sample.record()


def tar_files(path: Path | str, split: str) -> list[Path]:
    """The tars that a path names: one, those that match a pattern, or those at any depth below a folder."""
    given = Path(path)
    if given.is_dir():
        found = [file for file in given.rglob("*") if file.name.lower().endswith(TAR_SUFFIXES)]
        return sorted(of_split(found, split, given))
    return [given] if given.is_file() else sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207


def tars_of_hub(repo: str, data_dir: str | None, split: str) -> Path | None:
    """The folder with the tars that a hub data set has of this split, fetched into the cache; None where it has none.

    The library datasets would write such data anew, for which it needs a package that decodes audio.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    start = f"{data_dir}/" if data_dir else ""
    of_this, of_any = ([f"{start}*{word}*{end}" for end in TAR_SUFFIXES] for word in (split, ""))
    wanted = [of_this, of_any]  # offline, whichever was fetched
    try:
        names = [Path(name) for name in HfApi().list_repo_files(repo, repo_type="dataset") if name.startswith(start)]
        tars = [name for name in names if name.name.lower().endswith(TAR_SUFFIXES)]
        wanted = [of_this if naming(of_split(tars, split, Path()), split, Path()) else of_any] if tars else []
    except OfflineModeIsEnabled:
        pass
    except EvaluationError:
        raise
    except Exception:  # of several libraries; who loads the data set next says what is wrong
        return None
    for patterns in wanted:
        try:
            folder = Path(snapshot_download(repo, repo_type="dataset", allow_patterns=patterns)) / (data_dir or "")
        except (OSError, ValueError, OfflineModeIsEnabled):  # never fetched, or not to the end
            continue
        if tar_files(folder, split):
            return folder
    return None


@dataclass(frozen=True)
class _Member:
    """A member, its content read (``content``) or left where it is."""

    name: str
    tar: Path
    offset: int
    size: int
    content: bytes | None = None

    def read(self) -> bytes:
        if self.content is not None:
            return self.content
        with self.tar.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) != self.size:
            raise EvaluationError(f"{self.tar}: {self.name} ends too early; fetch the tar again")
        return content


@dataclass
class _Sample:
    key: str
    columns: dict[str, Any] = field(default_factory=dict)
    sounds: dict[str, Sound] = field(default_factory=dict)

    def add(self, kind: str, member: _Member) -> None:
        last = kind.rpartition(".")[2]
        if last in AUDIO_SUFFIXES:
            self.sounds[kind] = Sound(base_name(member.name), member.read)
        elif last == "json":
            self.columns[kind] = _json(member)
        elif last in _TEXT_KINDS:
            self.columns[kind] = _text(member).strip()

    def record(self) -> Iterator[Record]:
        """The sample, unless nothing was found of it."""
        if not self.columns and not self.sounds:
            return
        whole = self.columns.get("json")
        columns = {**(whole if isinstance(whole, dict) else {}), **self.columns, **self.sounds, "__key__": self.key}
        yield Record(self.key, columns, next(iter(self.sounds.values()), Sound(self.key, self._nothing)))

    def _nothing(self) -> bytes:
        raise EvaluationError(f"{self.key}: the sample has no audio, only {', '.join(self.columns)}")


def _members(path: Path, audio: bool) -> Iterator[tuple[str, str, _Member]]:
    """Key, lower-case suffix and place of each member that could be part of a sample."""
    is_plain = path.name.lower().endswith(".tar")
    try:
        with tarfile.open(path, "r:" if is_plain else "r:*") as archive:
            while (member := archive.next()) is not None:
                vars(archive)["members"].clear()  # otherwise every header of the tar stays in memory
                match = _MEMBER.fullmatch(member.name)
                if not member.isfile() or match is None:
                    continue
                kind = match["kind"].lower()
                is_audio = kind.rpartition(".")[2] in AUDIO_SUFFIXES
                content = None if is_plain else _content(archive, member, wanted=audio or not is_audio)
                yield match["key"], kind, _Member(member.name, path, member.offset_data, member.size, content)
            _require_end(archive, path, is_plain)
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise EvaluationError(f"{path}: not a whole tar ({error}); fetch it again") from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, *, wanted: bool) -> bytes:
    file = archive.extractfile(member) if wanted else None
    return b"" if file is None else file.read()


def _require_end(archive: tarfile.TarFile, path: Path, is_plain: bool) -> None:
    """A tar ends with a block of zeros; tarfile takes one that breaks off within a header for whole.

    One that is compressed could only be looked at again from its start, and carries its own mark of the end.
    """
    assert archive.fileobj is not None
    if is_plain:
        archive.fileobj.seek(archive.offset)
        whole = archive.fileobj.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    else:
        whole = archive.fileobj.tell() >= archive.offset + tarfile.BLOCKSIZE
    if not whole:
        raise EvaluationError(f"{path}: it is damaged or cut short after {archive.offset} bytes; fetch it again")


def _json(member: _Member) -> Any:
    try:
        return json.loads(member.read())
    except ValueError as error:
        raise EvaluationError(f"{member.tar}: {member.name} is not JSON ({error})") from error


def _text(member: _Member) -> str:
    try:
        return member.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{member.tar}: {member.name} is not UTF-8 ({error})") from error

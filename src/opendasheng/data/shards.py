"""Shards: WebDataset tar files of ``ID.flac`` + ``ID.json``, and the index that finds a clip without scanning a tar.

A source is a folder: ``shard-00000.tar``, ``shard-00001.tar``, ... and ``index.json``, which is written last, so that a
folder with an index is a finished one. A corpus is a folder of such folders. Audio is 16 kHz mono 16-bit FLAC. The same
clips in the same order give the same bytes (fixed times and owners in the tar), so checksums can be compared between
machines that carry the same FLAC encoder. Any WebDataset reader can read the tars; ``shards.schema.json`` beside this
file is the schema of ``index.json`` and ``ID.json``.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from opendasheng.data import index as index_file
from opendasheng.data.clip import Clip
from opendasheng.data.licences import is_permissive
from opendasheng.errors import CorpusError
from opendasheng.files import sha256, write_atomically
from opendasheng.lengths import SAMPLE_RATE_HZ

FORMAT = index_file.FORMAT
INDEX = "index.json"
MAX_SHARD_BYTES = 64 * 2**20

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Entry:
    """Where one clip lies: its shard's file and the FLAC's byte offset and size in it."""

    clip: Clip
    shard: Path
    offset: int
    size: int


def encode_flac(audio: Audio) -> bytes:
    """``audio`` float32 ``(S,)`` at 16 kHz -> 16-bit FLAC; only values beyond full scale are limited."""
    scaled = np.rint(np.asarray(audio, dtype=np.float64) * 32768.0)
    pcm = np.clip(scaled, -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(flac: bytes) -> Audio:
    """The inverse of ``encode_flac``: float32 ``(S,)`` at 16 kHz, exact to the 16-bit step.

    Raises:
        CorpusError: not a FLAC that a shard may hold.
    """
    try:
        audio, rate_hz = soundfile.read(io.BytesIO(flac), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise CorpusError(f"a clip of {len(flac)} bytes is not readable FLAC ({error}); verify the corpus") from error
    if rate_hz != SAMPLE_RATE_HZ or audio.ndim != 1:
        raise CorpusError(f"a clip is {rate_hz} Hz with shape {audio.shape}; shards hold {SAMPLE_RATE_HZ} Hz mono")
    return audio  # type: ignore[no-any-return]


class ShardWriter:
    """Writes one source. Use as a context manager: leaving it normally writes the index, an exception leaves none.

    Args:
        folder: the source's folder; what an earlier, unfinished or outdated build left in it is removed at the start.
        source: package or source name, written into the index.
        fingerprint: identifies the recipe and its inputs; ``is_complete`` compares it.
        info: anything JSON-able worth keeping with the source (package versions, what was left out and why).
        max_shard_bytes: a shard is closed once it holds this many bytes.

    Raises:
        CorpusError: a clip id is given twice.
    """

    def __init__(
        self,
        folder: Path,
        *,
        source: str,
        fingerprint: str,
        info: dict[str, Any] | None = None,
        max_shard_bytes: int = MAX_SHARD_BYTES,
    ) -> None:
        self.folder = folder
        self.source = source
        self.fingerprint = fingerprint
        self.info: dict[str, Any] = dict(info or {})
        self._max_shard_bytes = max_shard_bytes
        self._shards: list[dict[str, Any]] = []
        self._clips: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._buffer = io.BytesIO()
        self._num_in_shard = 0

    def __enter__(self) -> "ShardWriter":
        self.folder.mkdir(parents=True, exist_ok=True)
        # The index goes first: from here until it is written again the folder counts as unfinished.
        (self.folder / INDEX).unlink(missing_ok=True)
        for stale in (*self.folder.glob("shard-*.tar"), *self.folder.glob("*.tmp")):
            stale.unlink()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._close_shard()
            self._write_index()

    def add(self, clip: Clip, audio: Audio) -> None:
        """Append one clip; ``audio`` is float32 ``(S,)`` at 16 kHz."""
        self._add(clip, encode_flac(audio))

    def add_flac(self, clip: Clip, flac: bytes) -> None:
        """Append one clip whose audio is a FLAC file of another shard, as it is.

        Raises:
            CorpusError: it is no 16 kHz mono FLAC, or not as long as the clip; nothing is appended.
        """
        if unlike := index_file.other_audio(clip, flac):
            raise CorpusError(f"{self.source}: clip {clip.id}: {unlike}", clip_id=clip.id)
        self._add(clip, flac)

    def _add(self, clip: Clip, flac: bytes) -> None:
        if clip.id in self._ids:
            raise CorpusError(f"{self.source}: clip id {clip.id!r} is given twice; ids must be unique in a source")
        self._ids.add(clip.id)
        offset = self._add_member(f"{clip.id}.flac", flac)
        self._add_member(f"{clip.id}.json", clip.to_json().encode())
        self._clips.append({**clip.to_dict(), "shard": len(self._shards), "offset": offset, "size": len(flac)})
        self._num_in_shard += 1
        if self._buffer.tell() >= self._max_shard_bytes:
            self._close_shard()

    def _add_member(self, name: str, content: bytes) -> int:
        header = tarfile.TarInfo(name)
        header.size = len(content)
        header.mode = 0o644
        self._buffer.write(header.tobuf(tarfile.USTAR_FORMAT))
        offset = self._buffer.tell()
        self._buffer.write(content)
        self._buffer.write(b"\0" * (-len(content) % tarfile.BLOCKSIZE))
        return offset

    def _close_shard(self) -> None:
        if not self._num_in_shard:
            return
        self._buffer.write(b"\0" * (2 * tarfile.BLOCKSIZE))
        self._buffer.write(b"\0" * (-self._buffer.tell() % tarfile.RECORDSIZE))
        content = self._buffer.getvalue()
        name = f"shard-{len(self._shards):05d}.tar"
        write_atomically(self.folder / name, content)
        digest = hashlib.sha256(content).hexdigest()
        self._shards.append({"name": name, "sha256": digest, "bytes": len(content), "num_clips": self._num_in_shard})
        self._buffer = io.BytesIO()
        self._num_in_shard = 0

    def _write_index(self) -> None:
        index = {
            "format": FORMAT,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "info": self.info,
            "shards": self._shards,
            "clips": self._clips,
        }
        text = json.dumps(index, ensure_ascii=False, indent=0, sort_keys=True)
        write_atomically(self.folder / INDEX, text.encode())


def read_index(folder: Path) -> dict[str, Any]:
    """The ``index.json`` of one source folder.

    Raises:
        CorpusError: missing, not JSON, of another format, or damaged; see :func:`opendasheng.data.index.read`.
    """
    return index_file.read(folder / INDEX)[0]


def _damage(folder: Path, index: dict[str, Any]) -> str | None:
    """What is wrong with the first shard that is not what the index says, or None."""
    for shard in index["shards"]:
        path = folder / shard["name"]
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != shard["bytes"]:
            return f"{path} has {path.stat().st_size} bytes, the index says {shard['bytes']}"
        digest = sha256(path)
        if digest != shard["sha256"]:
            return f"{path} has sha256 {digest}, the index says {shard['sha256']}"
    return None


def _difference(folder: Path, index: dict[str, Any], rows: list[index_file.Row]) -> str | None:
    """In what the first shard that holds something else than the index says differs from it, or None."""
    of_shard: list[list[index_file.Row]] = [[] for _ in index["shards"]]
    for row in rows:
        of_shard[row.shard].append(row)
    compared = (index_file.compare(folder / shard["name"], of_shard[i]) for i, shard in enumerate(index["shards"]))
    return next((found for found in compared if found), None)


def is_complete(folder: Path, fingerprint: str) -> bool:
    """Whether ``folder`` holds a finished, undamaged build of exactly this recipe."""
    try:
        index = read_index(folder)
    except CorpusError:
        return False
    return bool(index["fingerprint"] == fingerprint) and _damage(folder, index) is None


class ShardReader:
    """Random access to the clips of one or many sources.

    ``folder`` is a source (it has an ``index.json``) or a corpus (its sub-folders do). Only indexes are read here; a
    tar is opened for each clip that is asked for and closed again, so a reader may be forked, pickled and shared by
    threads.
    Clips come in a fixed order: by source folder name, then as written.

    Args:
        split, kind, source: keep only these; each a name, several names, or None for all.
        permissive_only: leave out clips under another licence than a permissive one; they are in ``left_out``.

    ``sources`` are the names that the clips of the folder give their source, those of other splits and kinds too.

    Raises:
        CorpusError: no index below ``folder``, an index that does not fit, an unknown source name, or an id that two of
            the sources have.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        split: str | Sequence[str] | None = None,
        kind: str | Sequence[str] | None = None,
        source: str | Sequence[str] | None = None,
        permissive_only: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self._source_folders = _source_folders(self.folder)
        self._source_folders = _only(self._source_folders, source, self.folder)
        splits, kinds = _names(split), _names(kind)
        self._entries: list[Entry] = []
        self.left_out: list[Clip] = []
        self.sources: set[str] = set()  # of all clips, chosen or not
        first: dict[str, Path] = {}  # source folder of each id
        for path in self._source_folders:
            for entry in _entries(path):
                # Also of clips that are not chosen: a copy may be in another split.
                if (other := first.setdefault(entry.clip.id, path)) is not path:
                    raise CorpusError(
                        f"clip {entry.clip.id!r} is in {other} and in {path}, and an id is unique in a corpus; remove "
                        "one of these folders, or make it again under another name"
                    )
                self.sources.add(entry.clip.source)
                if (splits is None or entry.clip.split in splits) and (kinds is None or entry.clip.kind in kinds):
                    if permissive_only and not is_permissive(entry.clip.licence):
                        self.left_out.append(entry.clip)
                    else:
                        self._entries.append(entry)
        self.clips: list[Clip] = [entry.clip for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def flac(self, index: int) -> bytes:
        """The FLAC file of clip ``index``, as stored.

        Raises:
            CorpusError: the shard is missing or shorter than the index says.
        """
        entry = self._entries[index]
        try:
            with entry.shard.open("rb") as file:
                file.seek(entry.offset)
                flac = file.read(entry.size)
        except OSError as error:
            raise CorpusError(
                f"clip {entry.clip.id}: cannot read {entry.shard} ({error}); build its source again",
                clip_id=entry.clip.id,
            ) from error
        if len(flac) != entry.size:
            raise CorpusError(
                f"clip {entry.clip.id}: {entry.shard} ends too early; verify the corpus and build it again",
                clip_id=entry.clip.id,
            )
        return flac

    def where(self, index: int) -> str:
        """Clip ``index`` in words: its id and its shard."""
        entry = self._entries[index]
        return f"clip {entry.clip.id} of {entry.shard}"

    def audio(self, index: int) -> Audio:
        """The audio of clip ``index``: float32 ``(S,)`` at 16 kHz.

        Raises:
            CorpusError: it cannot be read, or is not as long as the index says.
        """
        clip, flac = self.clips[index], self.flac(index)
        try:
            if unlike := index_file.other_audio(clip, flac):
                raise CorpusError(f"{unlike}; verify the corpus and build it again")
            return decode_flac(flac)
        except CorpusError as error:
            raise CorpusError(f"{self.where(index)}: {error}", clip_id=clip.id) from error

    def verify(self) -> int:
        """Compare every shard of the chosen sources with its recorded sha256, and the clips in it with those of the
        index; the number of shards that were read.

        Raises:
            CorpusError: names the first shard that is missing, damaged or not what the index says.
        """
        num_shards = 0
        for folder in self._source_folders:
            index, rows = index_file.read(folder / INDEX)
            damage = _damage(folder, index) or _difference(folder, index, rows)
            if damage:
                raise CorpusError(f"{damage}; remove the folder {folder} and build the source again")
            num_shards += len(index["shards"])
        return num_shards


def _names(value: str | Iterable[str] | None) -> set[str] | None:
    if value is None:
        return None
    return {value} if isinstance(value, str) else set(value)


def _source_folders(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{INDEX}"))
    if not found:
        raise CorpusError(f"{folder} holds no built source (no {INDEX} in it or one level below); build a corpus there")
    return found


def _only(folders: list[Path], source: str | Iterable[str] | None, corpus: Path) -> list[Path]:
    wanted = _names(source)
    if wanted is None:
        return folders
    present = {folder.name for folder in folders}
    if wanted - present:
        raise CorpusError(
            f"{corpus} has no source {sorted(wanted - present)[0]!r}; it has {', '.join(sorted(present))}"
        )
    return [folder for folder in folders if folder.name in wanted]


def _entries(folder: Path) -> Iterable[Entry]:
    index, rows = index_file.read(folder / INDEX)
    shards = [folder / shard["name"] for shard in index["shards"]]
    for row in rows:
        yield Entry(row.clip, shards[row.shard], row.offset, row.size)

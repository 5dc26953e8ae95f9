"""The ``index.json`` of a source, read without trust in what it says.

Every key, type and place is checked before anything is opened, by hand and not by ``shards.schema.json``: the index of
a large corpus is read in seconds, without a further dependency, and the schema cannot say that places fit together.
"""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import soundfile

from opendasheng.data.clip import Clip
from opendasheng.errors import CorpusError
from opendasheng.lengths import SAMPLE_RATE_HZ

FORMAT = 1

_INDEX = {"format": int, "source": str, "fingerprint": str, "info": dict, "shards": list, "clips": list}
_SHARD = {"name": str, "sha256": str, "bytes": int, "num_clips": int}
_PLACE = {"shard": int, "offset": int, "size": int}
# How far the duration of a clip may be from that of its FLAC; ours are rounded to 0.1 ms.
_TOLERANCE_SECONDS = 0.01


class Row(NamedTuple):
    """One clip of an index: the number of its shard, and the byte offset and size of its FLAC in it."""

    clip: Clip
    shard: int
    offset: int
    size: int


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """What ``index.json`` holds, and its clips in their order.

    Raises:
        CorpusError: it is missing, not JSON, of another format, or says what cannot be; the message names the file,
            the shard and the value.
    """
    try:
        index = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CorpusError(
            f"{path} does not exist: the source is not built, or its build was cut short; build it"
        ) from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path} is not JSON ({error}); build the source again") from error
    if not isinstance(index, dict) or type(index.get("format")) is not int or index["format"] != FORMAT:
        found = index.get("format") if isinstance(index, dict) else type(index).__name__
        raise CorpusError(f"{path} has format {found!r}, this version reads {FORMAT}; build the source again")
    try:
        _check_keys("the index", index, _INDEX)
        return index, _rows(index)
    except CorpusError as error:
        raise CorpusError(f"{path} is damaged: {error}; build the source again") from error


def compare(shard: Path, rows: Sequence[Row]) -> str | None:
    """In what the tar ``shard`` is not what its ``rows`` say of it, or None: names and places of members, the length
    of each FLAC, and what the JSON beside it says of the clip."""
    try:
        with tarfile.open(shard, "r:") as tar:
            for row in rows:
                flac, member = tar.next(), tar.next()
                found = flac and (flac.name, flac.offset_data, flac.size)
                if found != (f"{row.clip.id}.flac", row.offset, row.size):
                    return f"{shard} has {found}, the index says {(f'{row.clip.id}.flac', row.offset, row.size)}"
                file = member and member.name == f"{row.clip.id}.json" and tar.extractfile(member)
                if not file or Clip.from_json(file.read()) != row.clip:
                    return f"clip {row.clip.id} of {shard}: the JSON beside it is not what the index says"
                audio = flac and tar.extractfile(flac)
                unlike = audio and other_audio(row.clip, audio.read())
                if unlike:
                    return f"clip {row.clip.id} of {shard}: {unlike}"
            return f"{shard} has more than the {len(rows)} clips of the index" if tar.next() else None
    except (tarfile.TarError, OSError, ValueError, RecursionError, CorpusError) as error:
        return f"{shard} is no shard ({error})"


def other_audio(clip: Clip, flac: bytes) -> str | None:
    """In what the header of ``flac`` is not that of ``clip``'s audio, 16 kHz mono and as long as the index says, or
    None. Nothing is decoded: a few bytes can be hours of silence."""
    try:
        info = soundfile.info(io.BytesIO(flac))
    except soundfile.LibsndfileError as error:
        return f"{len(flac)} bytes that are not readable FLAC ({error})"
    if (info.samplerate, info.channels) != (SAMPLE_RATE_HZ, 1):
        return f"FLAC of {info.samplerate} Hz and {info.channels} channels; shards hold {SAMPLE_RATE_HZ} Hz mono"
    seconds = info.frames / SAMPLE_RATE_HZ
    if abs(seconds - clip.duration_seconds) > _TOLERANCE_SECONDS:
        return f"FLAC of {seconds:.4f} s, where the index says {clip.duration_seconds} s"
    return None


def _rows(index: Mapping[str, Any]) -> list[Row]:
    shards = index["shards"]
    rows: list[Row] = []
    for number, shard in enumerate(shards):
        _check_shard(f"shards[{number}]", shard, f"shard-{number:05d}.tar")
    counts = [0] * len(shards)
    ids: set[str] = set()
    for number, record in enumerate(index["clips"]):
        where = f"clips[{number}]"
        before = rows[-1] if rows else None
        row = _row(where, record, shards, before)
        _require(row.clip.id not in ids, where, "id", row.clip.id, "given once")
        ids.add(row.clip.id)
        counts[row.shard] += 1
        rows.append(row)
    for number, (shard, count) in enumerate(zip(shards, counts, strict=True)):
        where = f"shards[{number}] ({shard['name']})"
        _require(count == shard["num_clips"], where, "num_clips", shard["num_clips"], f"{count}, that of its clips")
    return rows


def _check_shard(where: str, shard: Any, name: str) -> None:
    _check_keys(where, shard, _SHARD)
    # The one name that a writer gives: it leads nowhere else, and to no shard twice.
    _require(shard["name"] == name, where, "name", shard["name"], repr(name))
    digest = shard["sha256"]
    _require(len(digest) == 64 and set(digest) <= set("0123456789abcdef"), where, "sha256", digest, "64 digits of hex")
    _require(shard["bytes"] > 0, where, "bytes", shard["bytes"], "1 or more")
    _require(shard["num_clips"] > 0, where, "num_clips", shard["num_clips"], "1 or more")


def _row(where: str, record: Any, shards: Sequence[Mapping[str, Any]], before: Row | None) -> Row:
    """The clip ``record``, which lies behind the one ``before`` it."""
    _check_keys(where, record, _PLACE, others=True)
    shard, offset, size = (record[key] for key in _PLACE)
    last = -1 if before is None else before.shard
    words = f"from {max(last, 0)} to {len(shards) - 1}, in the order of the shards"
    _require(max(last, 0) <= shard < len(shards), where, "shard", shard, words)
    where = f"{where} ({shards[shard]['name']})"
    begin = tarfile.BLOCKSIZE if before is None or before.shard < shard else before.offset + before.size
    _require(offset >= begin and offset % tarfile.BLOCKSIZE == 0, where, "offset", offset, _multiple(begin))
    left = shards[shard]["bytes"] - offset
    _require(0 < size <= left, where, "size", size, f"1 or more, and at most the {left} bytes left from its offset")
    try:
        clip = Clip.from_dict({key: value for key, value in record.items() if key not in _PLACE})
    except CorpusError as error:
        raise CorpusError(f"{where}: {error}") from error
    return Row(clip, shard, offset, size)


def _multiple(begin: int) -> str:
    return f"a multiple of {tarfile.BLOCKSIZE}, and at least {begin}, where the clip before it ends"


def _check_keys(where: str, found: Any, kinds: Mapping[str, type], *, others: bool = False) -> None:
    """Raise :class:`CorpusError` unless ``found`` is an object with these keys of these types, and no ``others``."""
    if not isinstance(found, dict):
        raise CorpusError(f"{where} is {_short(found)}; it is an object")
    for key, kind in kinds.items():
        if key not in found:
            raise CorpusError(f"{where} has no {key!r}")
        # Of this very type: True is an int too.
        _require(type(found[key]) is kind, where, key, found[key], f"of type {kind.__name__}")
    unknown = sorted(set(found) - set(kinds))
    if unknown and not others:
        raise CorpusError(f"{where}: unknown key {unknown[0]!r}; known keys are {', '.join(kinds)}")


def _require(condition: bool, where: str, key: str, value: Any, words: str) -> None:
    if not condition:
        raise CorpusError(f"{where}: {key} is {_short(value)}; it is {words}")


def _short(value: Any) -> str:
    """A value in an error, which is one line, whatever stands there."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

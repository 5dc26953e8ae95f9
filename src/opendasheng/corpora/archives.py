"""Archives inside packages: zip, Qt resource (``.rcc``) and OpenTTD sound files (``.cat``), read to path -> content."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from opendasheng.corpora.debian import Package
from opendasheng.errors import CorpusError

AUDIO_EXTENSIONS = (".ogg", ".wav", ".flac", ".mp3", ".opus")

# Qt resources, all numbers big-endian: "qres", version, offsets of tree, data and names; then per tree node its name's
# offset, flags, and for a folder the count and number of its children, for a file the offset of its data.
_QT_HEADER = struct.Struct(">4s4I")
_QT_NODE_BYTES = {1: 14, 2: 22, 3: 22}
_QT_COMPRESSED, _QT_FOLDER, _QT_ZSTANDARD = 1, 2, 4
# OpenTTD's sounds, all numbers little-endian: pairs of offset and size, as many as lie before the first offset, whose
# highest bit is a flag; at each offset a byte with the length of a description, the description, and a WAV file of that
# size.
_CAT_ENTRY = struct.Struct("<2I")
_CAT_OFFSET_BITS = 0x7FFFFFFF


def audio_files(package: Package, root: str, archives: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Path below ``root`` -> content of each audio file, sorted.

    Without ``archives``, ``root`` is a folder of the package; with them, a folder inside each of these ``.rcc``,
    ``.cat`` or zip files.

    Raises:
        CorpusError: no such files, or a damaged archive.
    """
    if not archives:
        found = package.read(lambda path: path.startswith(root) and path.lower().endswith(AUDIO_EXTENSIONS))
        return {path.removeprefix(root): content for path, content in found.items()}
    found = {}
    for name, content in package.read(archives.__contains__).items():
        unpack = _UNPACKERS.get(name.rpartition(".")[2], _zip_members)
        try:
            members = {path: data for path, data in unpack(content) if path.lower().endswith(AUDIO_EXTENSIONS)}
        except (zipfile.BadZipFile, struct.error, zlib.error, ValueError, RecursionError) as error:
            raise CorpusError(f"{package.path}: {name} is damaged ({error}); download the package again") from error
        found |= {path.removeprefix(root): data for path, data in members.items() if path.startswith(root)}
    if not found:
        raise CorpusError(f"{package.path}: no audio below {root!r} in {', '.join(archives)}; is it too new?")
    return dict(sorted(found.items()))


def _zip_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as zipped:
        for name in zipped.namelist():
            yield name, zipped.read(name)


def qt_resources(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file in a Qt resource file.

    Raises:
        ValueError: not a resource file, an unknown version, or Zstandard compression.
        struct.error, zlib.error: damaged.
    """
    magic, version, tree, data, names = _QT_HEADER.unpack_from(content)
    if magic != b"qres" or version not in _QT_NODE_BYTES:
        raise ValueError(f"{magic!r} version {version} is not a known Qt resource file")

    def node(number: int, folder: str) -> Iterator[tuple[str, bytes]]:
        start = tree + number * _QT_NODE_BYTES[version]
        name_offset, flags = struct.unpack_from(">IH", content, start)
        (length,) = struct.unpack_from(">H", content, names + name_offset)
        text = names + name_offset + 6
        path = folder + content[text : text + 2 * length].decode("utf-16-be") if number else ""
        if flags & _QT_FOLDER:
            count, first = struct.unpack_from(">II", content, start + 6)
            for child in range(first, first + count):
                yield from node(child, f"{path}/" if path else "")
            return
        if flags & _QT_ZSTANDARD:
            raise ValueError(f"{path} is compressed with Zstandard, which is not supported")
        (offset,) = struct.unpack_from(">I", content, start + 10)
        (size,) = struct.unpack_from(">I", content, data + offset)
        stored = content[data + offset + 4 : data + offset + 4 + size]
        # A compressed file starts with its plain size in four bytes.
        yield path, zlib.decompress(stored[4:]) if flags & _QT_COMPRESSED else stored

    yield from node(0, "")


def openttd_sounds(content: bytes) -> Iterator[tuple[str, bytes]]:
    """``NUMBER TITLE.wav`` and content of every sound in an OpenTTD ``.cat`` file.

    The title is what stands in quotation marks at the start of a sound's description.

    Raises:
        ValueError: an entry lies outside of the file.
        struct.error: damaged.
    """
    (first,) = struct.unpack_from("<I", content)
    for number in range((first & _CAT_OFFSET_BITS) // _CAT_ENTRY.size):
        offset, size = _CAT_ENTRY.unpack_from(content, number * _CAT_ENTRY.size)
        offset &= _CAT_OFFSET_BITS
        if offset >= len(content):
            raise ValueError(f"sound {number} starts at byte {offset} of {len(content)}")
        start = offset + 1 + content[offset]
        if start + size > len(content):
            raise ValueError(f"sound {number} ends at byte {start + size} of {len(content)}")
        description = content[offset + 1 : start].rstrip(b"\0").decode("utf-8", "replace")
        title = description.removeprefix('"').partition('"')[0].replace("/", " or ")
        yield f"{number:02d} {title}.wav", content[start : start + size]


_UNPACKERS: dict[str, Callable[[bytes], Iterator[tuple[str, bytes]]]] = {
    "rcc": qt_resources,
    "cat": openttd_sounds,
}

"""Flight of the Amazon Queen: about 6,500 spoken lines of an adventure game, each with its text, 4.5 h of English.

All of it lies in one container, ``queen.1c``. Layout (numbers are big-endian):

* ``QTBL``, version, compression byte at 12 (1: MP3), entry count at 13, then entries of 21 bytes from 15: name
  (12 bytes, zero padded), bundle, offset (4 bytes), size (4 bytes). ``*.SB`` are whole MP3 files.
* ``*.DOG``, a dialogue: after 20 bytes, 16-bit fields ``levels, key, talk key, number of Joe's lines, number of the
  other's lines``; the other's lines start at the offset stored at 22, Joe's at ``32 + 96 * levels``. A line is
  2 unused bytes, a 16-bit id, a length byte and the text, padded to 4.
* ``*.CUT``, a cutaway scene: after 20 bytes, the number of objects at 2 (negative: cannot be skipped) and the offset
  of the texts at 8. A text is a length byte and the text, padded to 2 unless empty; text 0 is the preamble.
* ``QUEEN2.JAS``: lines of text; line ``i`` from 0 is Joe's description ``i + 41``.

A text is cut into voice segments at each ``*`` command of two characters.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opendasheng.corpora import captions
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, table, without_shared_texts
from opendasheng.errors import CorpusError

_CONTAINER = "queen.1c"
_ENTRY = struct.Struct(">12sBII")
_FIRST_ENTRY = 15
_MP3 = 1
_HEADER_BYTES = 20
_FIRST_DESCRIPTION = 41
_COMMAND = re.compile(r"\*..")
# (sigh), <gulp>: stage directions. ^_ is the trademark glyph of the game's font, @@ its hearts, a lone * a cut command.
_DIRECTION = re.compile(r"\([^)]*\)|<[^>]*>|\^_|@@|\*")
_DESCRIPTION_BLOCK = 20


@dataclass(frozen=True)
class Line:
    """One spoken segment: the name of its voice file, its words, and the scene and speaker it belongs to."""

    voice: str
    text: str
    scene: str
    speaker: str


def entries(container: bytes) -> dict[str, bytes]:
    """File name in upper case -> content, for a ``queen.1c`` with MP3 voices.

    Raises:
        CorpusError: another kind of file, another compression, or a table that points outside the file.
    """
    if container[:4] != b"QTBL" or len(container) < _FIRST_ENTRY:
        raise CorpusError(
            f"{_CONTAINER} starts with {container[:4]!r} instead of b'QTBL'; it is not the game's container"
        )
    if container[12] != _MP3:
        raise CorpusError(f"{_CONTAINER} has compression {container[12]}, only {_MP3} (MP3) is supported")
    (count,) = struct.unpack_from(">H", container, 13)
    found = {}
    for number in range(count):
        start = _FIRST_ENTRY + number * _ENTRY.size
        if start + _ENTRY.size > len(container):
            raise CorpusError(f"{_CONTAINER} ends inside its table of {count} entries; download the package again")
        raw_name, _, offset, size = _ENTRY.unpack_from(container, start)
        name = raw_name.split(b"\0")[0].decode("latin-1").upper()
        if offset + size > len(container):
            raise CorpusError(f"{_CONTAINER} ends before its entry {name}; download the package again")
        found[name] = container[offset : offset + size]
    return found


def _segments(text: str) -> Iterator[tuple[int, str]]:
    """Number from 1 and words of each voice segment that has words left without markup."""
    for number, segment in enumerate(_COMMAND.split(text), 1):
        words = " ".join(_DIRECTION.sub(" ", segment).split())
        if any(character.isalpha() for character in words):
            yield number, words


def _dialogue_texts(data: bytes, offset: int, count: int) -> Iterator[tuple[int, str]]:
    for _ in range(count):
        (identity,) = struct.unpack_from(">h", data, offset + 2)
        length = data[offset + 4]
        yield identity, data[offset + 5 : offset + 5 + length].decode("latin-1")
        offset = -(-(offset + 5 + length) // 4) * 4


def dialogue_lines(scene: str, data: bytes) -> Iterator[Line]:
    """Lines of one ``.DOG`` file. Id 0 holds Joe's greetings: first meeting in his block, later ones in the other's."""
    data = data[_HEADER_BYTES:]
    levels, _, talk_key, num_joe, num_other = struct.unpack_from(">5h", data, 0)
    (other_offset,) = struct.unpack_from(">H", data, 22)
    blocks = (("J", 32 + 96 * abs(levels), num_joe), ("P", other_offset, num_other))
    other = "queen-" + scene.rstrip("0123456789").lower()
    for letter, offset, count in blocks:
        for identity, text in _dialogue_texts(data, offset, count):
            is_greeting = identity == 0
            by_joe = letter == "J" or is_greeting
            middle = f"{identity & 0xFFFF:4X}".replace(" ", "0")
            if is_greeting:
                middle = "SSSS" if letter == "J" else "XXXX"
            for number, words in _segments(text):
                voice = f"{talk_key:02d}{middle}{'J' if by_joe else letter}{number:X}"
                yield Line(voice, words, scene, "queen-joe" if by_joe else other)


def cutaway_lines(scene: str, data: bytes) -> Iterator[Line]:
    """Lines of one ``.CUT`` file. Who speaks is not in the text, so every scene is a speaker bucket of its own."""
    data = data[_HEADER_BYTES:]
    (num_objects,) = struct.unpack_from(">h", data, 2)
    (offset,) = struct.unpack_from(">H", data, 8)
    for index in range(abs(num_objects) + 1):
        if offset >= len(data):
            return
        length = data[offset]
        text = data[offset + 1 : offset + 1 + length].decode("latin-1")
        offset += 1 + length
        offset += offset % 2 if length else 0
        for number, words in _segments(text):
            yield Line(f"{scene:_<5}{index:02d}{number:X}", words, scene, "queen-cutaway")


def description_lines(data: bytes) -> Iterator[Line]:
    """Joe's descriptions of what he sees, in blocks of neighbouring lines, which come from the same rooms."""
    for index, text in enumerate(data.decode("latin-1").replace("\r", "").split("\n")):
        for number, words in _segments(text):
            scene = f"JOE{index // _DESCRIPTION_BLOCK:02d}"
            yield Line(f"JOE{index + _FIRST_DESCRIPTION:04d}{number:X}", words, scene, "queen-joe")


def lines(files: Mapping[str, bytes]) -> Iterator[Line]:
    """All lines of the game that have a voice file, in the order of the file names."""
    seen = set()
    for name in sorted(files):
        scene, _, extension = name.partition(".")
        if extension == "DOG":
            found = dialogue_lines(scene, files[name])
        elif extension == "CUT":
            found = cutaway_lines(scene, files[name])
        elif name == "QUEEN2.JAS":
            found = description_lines(files[name])
        else:
            continue
        for line in found:
            if f"{line.voice}.SB" in files and line.voice not in seen:
                seen.add(line.voice)
                yield line


def scene_split(scene: str, held_out: Mapping[str, list[str]]) -> str:
    """The split of a scene. Cutaways count by room: ``C18A`` and ``C18B`` are both room ``C18``."""
    cutaway = re.fullmatch(r"(C\d+)[A-Z]", scene)
    place = cutaway[1] if cutaway else scene
    for split in ("test", "dev"):
        if place in held_out[split]:
            return split
    return "train"


def drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """All lines; a held-out line whose words also occur in train is left out, so that no text is in two splits."""
    content = packages["flight-of-the-amazon-queen"].read(lambda path: path.endswith("/" + _CONTAINER))
    ((path, container),) = content.items()
    files = entries(container)
    settings = table("amazon_queen.toml")
    genders = {name: gender for gender, names in settings["genders"].items() for name in names}
    yield from without_shared_texts(_draft(line, path, files, settings, genders) for line in lines(files))


def _draft(
    line: Line, path: str, files: Mapping[str, bytes], settings: Mapping[str, Any], genders: Mapping[str, str]
) -> Draft:
    identity = f"queen-{line.voice}"
    gender = genders.get(line.speaker.removeprefix("queen-"))
    return Draft(
        id=identity,
        audio=files[f"{line.voice}.SB"],
        split=scene_split(line.scene, settings["held_out"]),
        kind="speech",
        origin=f"{path}:{line.voice}.SB",
        labels=captions.speech_labels(gender),
        captions=captions.speech(identity, "dialogue", language="en", gender=gender),
        language="en",
        speaker=line.speaker,
        gender=gender,
        transcript=line.text,
    )


RECIPE = Recipe(
    name="amazon-queen",
    packages=("flight-of-the-amazon-queen",),
    licence="Flight of the Amazon Queen freeware licence (redistribution and modification with notice)",
    summary="English game dialogue, one main speaker and many characters",
    drafts=drafts,
    files=("amazon_queen.py", "amazon_queen.toml"),
)

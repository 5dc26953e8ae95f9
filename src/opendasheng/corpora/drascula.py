"""Drascula: The Vampire Strikes Back: 740 spoken lines of an adventure game with their text, 0.8 h of English.

A voice is ``PREFIX`` and a number, ``.ALS``: unsigned 8-bit samples at 11,025 Hz. The prefix tells the character; the
hero has none.

Texts lie in ``drascula.dat``: after tables of other things, one table of lines for each character, in the order of
``drascula.toml``. A table is a count, then for each of six languages, English first, the size of a block and the block:
2 bytes of nothing, then for each line its size (counting itself), the text and zeros. Numbers are 16 bits, big-endian.
All text is in capitals.
"""

import re
import struct
from collections.abc import Iterator, Mapping

from opendasheng.corpora import captions
from opendasheng.corpora.debian import Package
from opendasheng.corpora.pcm import unsigned_wav
from opendasheng.corpora.recipe import Draft, Recipe, spelling, table, without_shared_texts
from opendasheng.errors import CorpusError

_PACKAGE = "drascula"
_ROOT = "usr/share/scummvm/drascula/en/"
_TEXTS = _ROOT + "drascula.dat"
_RATE_HZ = 11_025
_NUM_LANGUAGES = 6
# The second line of the first table; before it come count, size of the block, 2 bytes, an empty line, its own size.
_SECOND_LINE = b"THAT'S THE SECOND BIGGEST DOOR"
_BYTES_BEFORE = 12
_VOICE = re.compile(re.escape(_ROOT) + r"(?P<prefix>[A-Z]*)(?P<number>[0-9]+)\.ALS")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.?!] )\W*\w")


def texts(data: bytes, prefixes: list[str]) -> dict[str, list[str]]:
    """Prefix -> English lines of that character, by number; a number without words has an empty one.

    Raises:
        CorpusError: another version of the file, or one that is cut short.
    """
    place = data.find(_SECOND_LINE) - _BYTES_BEFORE
    if place < 0:
        raise CorpusError(f"{_TEXTS} holds no line {_SECOND_LINE.decode()!r}; it is another version of the game")
    found = {}
    try:
        for prefix in prefixes:
            (count,) = struct.unpack_from(">H", data, place)
            place += 2
            blocks = []
            for _ in range(_NUM_LANGUAGES):
                (size,) = struct.unpack_from(">H", data, place)
                blocks.append(data[place + 2 : place + 2 + size])
                place += 2 + size
            found[prefix] = _lines(blocks[0], count)
        if place > len(data):
            raise EOFError
    except (struct.error, EOFError) as error:
        raise CorpusError(f"{_TEXTS} ends inside its lines; download the package again") from error
    return found


def _lines(block: bytes, count: int) -> list[str]:
    place, found = 2, []
    for _ in range(count):
        (size,) = struct.unpack_from(">H", block, place)
        found.append(block[place + 2 : place + size].split(b"\0")[0].decode("latin-1"))
        place += size
    if place > len(block):
        raise EOFError
    return found


def sentence_case(text: str, names: Mapping[str, str]) -> str:
    """``text`` with capitals where a sentence begins, in the word I, and as ``names`` (lower case -> spelled) say."""
    spelled = {"i": "I", **names}

    def word(match: re.Match[str]) -> str:
        whole = match[0].lower()
        first, mark, rest = whole.partition("'")
        return spelled.get(whole) or spelled.get(first, first) + mark + rest

    lowered = _WORD.sub(word, " ".join(text.split()))
    return _SENTENCE_START.sub(lambda match: match[0][:-1] + match[0][-1].upper(), lowered)


def drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """All voices that have words, by character and number; characters of ``drascula.toml`` are held out whole."""
    yield from without_shared_texts(_drafts(packages))


def _drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    settings = table("drascula.toml")
    characters = settings["characters"]
    files = packages[_PACKAGE].read(lambda path: path == _TEXTS or _VOICE.fullmatch(path) is not None)
    if _TEXTS not in files:
        raise CorpusError(f"{packages[_PACKAGE].path} holds no {_TEXTS}; it is another version of the game")
    lines = texts(files[_TEXTS], [character["prefix"] for character in characters])
    names = {name.lower(): name for name in settings["names"]}
    left_out = {"", *map(spelling, settings["left_out"])}
    for character in characters:
        of_character = lines[character["prefix"]]
        for number, line in enumerate(of_character):
            path = f"{_ROOT}{character['prefix']}{number}.ALS"
            if path not in files or spelling(line) in left_out:
                continue
            speaker, gender = f"drascula-{character['name']}", character.get("gender")
            identity = f"{speaker}-{number:03d}"
            yield Draft(
                id=identity,
                audio=unsigned_wav(files[path], _RATE_HZ),
                split=character["split"],
                kind="speech",
                origin=path,
                labels=captions.speech_labels(gender),
                captions=captions.speech(identity, "dialogue", language="en", gender=gender),
                language="en",
                speaker=speaker,
                gender=gender,
                transcript=sentence_case(line, names),
            )


RECIPE = Recipe(
    name="drascula",
    packages=(_PACKAGE,),
    licence="Drascula freeware licence (redistribution and modification with notice)",
    summary="English game dialogue, the hero and nine characters",
    drafts=drafts,
    files=("drascula.py", "drascula.toml", "pcm.py"),
)

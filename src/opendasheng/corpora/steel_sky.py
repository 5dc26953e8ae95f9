"""Beneath a Steel Sky: 3,600 spoken lines of an adventure game, 2.2 h of English by a cast of actors.

``sky.dnr`` says where in ``sky.dsk`` each file lies: a 32-bit count, then entries of 8 bytes, all little-endian: number
(16 bits), offset (24 bits; with the highest set, the others count 16 bytes each), and size (22 bits, below 2 of flags).
A line of speech has a number from 50,000 on and no flags: a header of 22 bytes, then unsigned 8-bit samples at 11,025
Hz in Rob Northen Compression.

The game's text is packed by a Huffman tree that is in its program and not in the package, so the words are those that
Whisper tiny.en wrote down: ``steel_sky.tsv``, made by ``runs/steel_sky_words.py``.
"""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import NamedTuple

from opendasheng.corpora import captions, rnc
from opendasheng.corpora.debian import Package
from opendasheng.corpora.pcm import unsigned_wav
from opendasheng.corpora.recipe import Draft, Recipe, spelling, table
from opendasheng.errors import CorpusError

_PACKAGE = "beneath-a-steel-sky"
_ROOT = "usr/share/scummvm/beneath-a-steel-sky/"
_CATALOGUE, _DISK = _ROOT + "sky.dnr", _ROOT + "sky.dsk"
_ENTRY_BYTES = 8
_SPEECH_NUMBERS = range(50_000, 60_000)
_VOICE_HEADER_BYTES = 22
_RATE_HZ = 11_025


class Words(NamedTuple):
    """What was written down of a line, and the mean log probability of its tokens."""

    text: str
    logprob: float


def speech_entries(catalogue: bytes, disk_bytes: int) -> dict[int, tuple[int, int]]:
    """Number -> offset and size in bytes of each line of speech, in the order of their numbers.

    Raises:
        CorpusError: a catalogue that is cut short, or an entry outside of a ``sky.dsk`` of ``disk_bytes``.
    """
    count = int.from_bytes(catalogue[:4], "little")
    if len(catalogue) < 4 + count * _ENTRY_BYTES:
        raise CorpusError(f"{_CATALOGUE} ends inside its table of {count} entries; download the package again")
    found = {}
    for start in range(4, 4 + count * _ENTRY_BYTES, _ENTRY_BYTES):
        number, offset, size = (
            int.from_bytes(catalogue[start + first : start + last], "little")
            for first, last in ((0, 2), (2, 5), (5, 8))
        )
        if number not in _SPEECH_NUMBERS or size >> 22:
            continue
        if offset >> 23:
            offset = (offset & 0x7FFFFF) * 16
        if offset + size > disk_bytes:
            raise CorpusError(f"{_DISK} ends before its file {number}; download the package again")
        found[number] = (offset, size)
    return dict(sorted(found.items()))


def voices(packages: Mapping[str, Package]) -> Iterator[tuple[int, bytes]]:
    """Number and WAV file of each line of speech.

    Raises:
        CorpusError: a package that is laid out otherwise, or is damaged; the message names the line.
    """
    content = packages[_PACKAGE].read(lambda path: path in (_CATALOGUE, _DISK))
    for path in (_CATALOGUE, _DISK):
        if path not in content:
            raise CorpusError(f"{packages[_PACKAGE].path} holds no {path}; it is not the talking version of the game")
    disk = content[_DISK]
    for number, (offset, size) in speech_entries(content[_CATALOGUE], len(disk)).items():
        try:
            yield number, unsigned_wav(rnc.unpack(disk[offset + _VOICE_HEADER_BYTES : offset + size]), _RATE_HZ)
        except CorpusError as error:
            raise CorpusError(f"{_DISK}: file {number}: {error}; download the package again") from error


def transcripts() -> dict[int, Words]:
    """Number -> words of each voice in which any were heard."""
    table_ = files("opendasheng.corpora").joinpath("steel_sky.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table_.splitlines())
    return {int(number): Words(text, float(logprob)) for number, logprob, text in rows if text}


def drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """The voices whose words are sure enough, all for training: who speaks is not in the package."""
    settings = table("steel_sky.toml")
    left_out = set(map(spelling, settings["left_out"]))
    words = transcripts()
    for number, audio in voices(packages):
        line = words.get(number)
        if line is None or line.logprob < settings["lowest_logprob"] or spelling(line.text) in left_out:
            continue
        identity = f"steel-sky-{number}"
        yield Draft(
            id=identity,
            audio=audio,
            split="train",
            kind="speech",
            origin=f"{_DISK}:{number}",
            labels=captions.speech_labels(None),
            captions=captions.speech(identity, "dialogue", language="en", gender=None),
            language="en",
            transcript=line.text,
            max_characters_per_second=settings["max_characters_per_second"],
        )


RECIPE = Recipe(
    name="steel-sky",
    packages=(_PACKAGE,),
    licence="Beneath a Steel Sky freeware licence (redistribution and modification with notice)",
    summary="English game dialogue written down by Whisper tiny.en, many characters; train only",
    drafts=drafts,
    files=("steel_sky.py", "steel_sky.toml", "steel_sky.tsv", "pcm.py", "rnc.py"),
)

"""Telephone prompts (packages asterisk-core-sounds-*): English, Spanish and Russian, one woman each. Test only."""

import gzip
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from opendasheng.corpora import captions
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id

_LICENCES = {"en": "CC-BY-SA-3.0", "es": "CC-BY-SA-3.0", "ru": "CC-BY-3.0"}
_SOUNDS = "usr/share/asterisk/sounds/"
# Tones, music and silence are described in brackets or angle brackets instead of being transcribed.
# The name of a character is followed by the character: ``dash [-]``.
_SYMBOL = re.compile(r" \[(?:.|)\]$")
_NOT_WORDS = re.compile(r"[\[\]<>(){}]")


def transcripts(text: str) -> dict[str, str]:
    """Prompt name -> words, from lines ``name: words``; comments and prompts without words are left out."""
    found = {}
    for line in text.splitlines():
        name, colon, words = line.partition(":")
        words = _SYMBOL.sub("", " ".join(words.split()))
        if colon and not line.startswith(";") and words and not _NOT_WORDS.search(words):
            found[name.strip()] = words
    return found


def drafts(packages: Mapping[str, Package], language: str) -> Iterator[Draft]:
    """All prompts with words, as test clips."""
    text_path = f"usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz"
    text = packages[f"asterisk-core-sounds-{language}"].read(text_path.__eq__)[text_path]
    words = transcripts(gzip.decompress(text).decode())
    files = packages[f"asterisk-core-sounds-{language}-wav"].read(lambda path: path.endswith(".wav"))
    for origin, audio in files.items():
        # usr/share/asterisk/sounds/VOICE/NAME.wav, where NAME may hold a folder such as digits/1
        voice, _, name = origin.removeprefix(_SOUNDS).removesuffix(".wav").partition("/")
        if name not in words:
            continue
        identity = clip_id("asterisk", language, name)
        yield Draft(
            id=identity,
            audio=audio,
            split="test",
            kind="speech",
            origin=origin,
            labels=captions.speech_labels("female"),
            captions=captions.speech(identity, "prompt", language=language, gender="female"),
            language=language,
            speaker=f"asterisk-{voice}",
            gender="female",
            transcript=words[name],
        )


def _recipe(language: str) -> Recipe:
    make: Callable[[Mapping[str, Package]], Iterator[Draft]] = partial(drafts, language=language)
    return Recipe(
        name=f"asterisk-{language}",
        packages=(f"asterisk-core-sounds-{language}-wav", f"asterisk-core-sounds-{language}"),
        licence=_LICENCES[language],
        summary=f"{captions.LANGUAGES[language]} telephone prompts, one woman; test only",
        drafts=make,
        files=("asterisk.py",),
    )


RECIPES = tuple(_recipe(language) for language in ("en", "es", "ru"))

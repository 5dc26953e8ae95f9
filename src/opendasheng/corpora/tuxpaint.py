"""Tux Paint's stamps (package tuxpaint-stamps-default): descriptions spoken in many languages, and sounds."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from opendasheng.corpora import captions, vocabulary
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, part, table, without_shared_texts

_PACKAGE = "tuxpaint-stamps-default"
_ROOT = "usr/share/tuxpaint/stamps/"
_LICENCE = "GPL-2+"
_DESCRIPTION = re.compile(r"(.+)_desc(?:_([a-z]{2})(?:_[A-Z]{2})?)?\.(?:ogg|wav)")
_DEV_PERCENT, _TEST_PERCENT = 10, 15
# Characters per second, about twice the reader's median: some texts were rewritten after they were recorded.
_FASTEST = {"be": 18.0, "bg": 25.0, "ca": 28.0, "da": 28.0, "el": 23.0, "es": 25.0, "fr": 28.0, "ro": 22.0, "ru": 24.0}
_FASTEST_ELSE = 32.0
# Only where the pitch of all recordings leaves no doubt; the package names no speakers.
_GENDERS = {"be": "female", "bg": "male", "el": "female", "es": "female", "nl": "male", "ro": "female", "ru": "male"}


def texts(content: str) -> dict[str, str]:
    """Language -> description, of a stamp's text file: English first, then lines ``xx.utf8=text``."""
    first, *others = content.splitlines() or [""]
    found = {"en": first.strip()}
    for line in others:
        key, equals, text = line.partition("=")
        language = key.partition(".")[0].partition("_")[0]
        # A plain language wins over its regional forms (pt over pt_BR), except that the recordings in pt are pt_BR.
        if equals and text.strip() and ((language == "pt" and "_" in key) or language not in found):
            found[language] = text.strip()
    return {language: text for language, text in found.items() if text}


def family(stamp: str) -> str:
    """The kind of stamp that decides the split: the folder, at most two levels deep (``animals/birds``)."""
    return "/".join(PurePosixPath(stamp).parent.parts[:2])


def speech_split(stamp: str, language: str) -> str:
    """Russian is all test, because its training set is another speaker; other languages go by stamp family."""
    return "test" if language == "ru" else part(f"tuxpaint {family(stamp)}", _DEV_PERCENT, _TEST_PERCENT)


def _read(packages: Mapping[str, Package]) -> Mapping[str, bytes]:
    files = packages[_PACKAGE].read(lambda path: path.startswith(_ROOT) and path.endswith((".ogg", ".wav", ".txt")))
    return {path.removeprefix(_ROOT): content for path, content in files.items()}


def speech_drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """Every spoken description that has its text in the same language, without texts that an earlier split has."""
    yield from without_shared_texts(_described(_read(packages)))


def _described(files: Mapping[str, bytes]) -> Iterator[Draft]:
    for path, audio in files.items():
        match = _DESCRIPTION.fullmatch(path)
        if match is None or f"{match[1]}.txt" not in files:
            continue
        stamp, language = match[1], match[2] or "en"
        text = texts(files[f"{stamp}.txt"].decode("utf-8", "replace")).get(language)
        if text is None or language not in captions.LANGUAGES:
            continue
        identity = clip_id("tuxpaint", language, stamp)
        gender = _GENDERS.get(language)
        yield Draft(
            id=identity,
            audio=audio,
            split=speech_split(stamp, language),
            kind="speech",
            origin=_ROOT + path,
            labels=captions.speech_labels(gender),
            captions=captions.speech(identity, "phrase", language=language, gender=gender),
            language=language,
            speaker=f"tuxpaint-{language}",
            gender=gender,
            transcript=text,
            max_characters_per_second=_FASTEST.get(language, _FASTEST_ELSE),
        )


def sound_drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """The sounds of stamps whose name says what is heard; test only."""
    files = _read(packages)
    names = {name: label for label, stamps in table("tuxpaint.toml").items() for name in stamps}
    for path, audio in files.items():
        label = names.get(path.rsplit(".", 1)[0])
        if label is None or path.endswith(".txt"):
            continue
        entry = vocabulary.entry(label)
        identity = clip_id("tuxpaint-sound", path.rsplit(".", 1)[0])
        yield Draft(
            id=identity,
            audio=audio,
            split="test",
            kind=entry.kind,
            origin=_ROOT + path,
            labels=entry.labels,
            captions=entry.captions(identity),
        )


SPEECH = Recipe(
    name="tuxpaint-speech",
    packages=(_PACKAGE,),
    licence=_LICENCE,
    summary="short spoken descriptions in a dozen languages",
    drafts=speech_drafts,
    files=("tuxpaint.py",),
)
SOUNDS = Recipe(
    name="tuxpaint-sounds",
    packages=(_PACKAGE,),
    licence=_LICENCE,
    summary="animal, instrument and household sounds; test only",
    drafts=sound_drafts,
    files=("tuxpaint.py", "tuxpaint.toml", "vocabulary.py", "vocabulary.toml"),
)
RECIPES = (SPEECH, SOUNDS)

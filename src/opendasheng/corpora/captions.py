"""English captions from what a source really says about a clip: several phrasings, chosen by the hash of its id."""

import hashlib
from collections.abc import Sequence

LANGUAGES = {
    "be": "Belarusian",
    "bg": "Bulgarian",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "lt": "Lithuanian",
    "ml": "Malayalam",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "uk": "Ukrainian",
}

_WHO = {"female": ("A woman", "A female voice"), "male": ("A man", "A male voice"), None: ("A person", "Someone")}

_SPEECH = {
    "sentence": (
        "{who} speaks {language}.",
        "{who} reads a sentence aloud in {language}.",
        "{who} is reading aloud in {language}.",
        "{who} says a sentence in {language}, with no other sound to be heard.",
        "Clear speech in {language}: {who_lower} reads a sentence.",
    ),
    "prompt": (
        "{who} speaks {language} in the manner of a telephone announcement.",
        "{who} gives a recorded telephone prompt in {language}.",
        "A recorded announcement: {who_lower} speaks {language} over the telephone.",
        "{who} speaks {language} clearly, as in a telephone menu.",
    ),
    "dialogue": (
        "{who} speaks {language}, acting out a line of dialogue.",
        "{who} says a line of dialogue in {language}.",
        "A character in a game speaks {language}.",
        "{who} talks in {language} in a theatrical manner.",
    ),
    "phrase": (
        "{who} says a short phrase in {language}.",
        "{who} speaks a few words of {language}.",
        "A short description is spoken in {language}.",
        "{who} names something in {language}.",
    ),
    "word": (
        "{who} says a word in {language}.",
        "A single word is spoken in {language}.",
        "{who} pronounces one word in {language}.",
    ),
}


def choose(key: str, options: Sequence[str], count: int = 1) -> tuple[str, ...]:
    """``count`` different ``options`` (fewer if there are not so many), picked and ordered by the hash of ``key``."""
    ranked = sorted(dict.fromkeys(options), key=lambda option: hashlib.sha256(f"{key}|{option}".encode()).digest())
    return tuple(ranked[:count])


def speech(key: str, style: str, *, language: str, gender: str | None) -> tuple[str, ...]:
    """Two captions of a spoken clip; ``style`` is one of sentence, prompt, dialogue, phrase, word."""
    who = choose(key, _WHO[gender])[0]
    words = {"who": who, "who_lower": who[0].lower() + who[1:], "language": LANGUAGES[language]}
    return tuple(template.format(**words) for template in choose(key, _SPEECH[style], 2))


def speech_labels(gender: str | None) -> tuple[str, ...]:
    """The labels of a spoken clip."""
    return ("speech",) if gender is None else ("speech", f"{gender} speech")

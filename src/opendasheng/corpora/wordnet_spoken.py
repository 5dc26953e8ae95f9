"""English sentences of everyday words: the examples of WordNet, read by synthesisers.

Real English speech with a transcript is scarce in packages and of few topics. The examples in WordNet's glosses are
46,000 short sentences and phrases, free for any use. Each is read once by a voice of Flite or of Hibari, and a share of
the longer ones by a mixed voice of Kokoro too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from opendasheng.corpora import hibari
from opendasheng.corpora.debian import Package
from opendasheng.corpora.flite import PACKAGES as FLITE_PACKAGES
from opendasheng.corpora.flite import VOICES as FLITE_VOICES
from opendasheng.corpora.flite import Flite
from opendasheng.corpora.kokoro import PACKAGES as KOKORO_PACKAGES
from opendasheng.corpora.kokoro import Kokoro, mixed_voices
from opendasheng.corpora.recipe import Draft, Recipe, table
from opendasheng.corpora.spoken import Voice, distinct, number, read_aloud, voice_of

_GLOSSES = tuple(f"usr/share/wordnet/data.{pos}" for pos in ("adj", "adv", "noun", "verb"))
_EXAMPLE = re.compile(r'"([^"]+)"')
# Of the sentences of so many words and more, the share that mixed voices read.
_MIN_WORDS = 5
_MIXED_SHARE = 0.08


def sentences(packages: Mapping[str, Package]) -> list[str]:
    """Examples of WordNet that can be read as they stand."""
    files = packages["wordnet-base"].read(lambda path: path in _GLOSSES)
    glosses = (line for content in files.values() for line in content.decode("latin-1").splitlines())
    examples = (text for line in glosses for text in _EXAMPLE.findall(line.partition("|")[2]))
    return distinct(examples, table("wordnet_spoken.toml")["left_out"])


def _share(packages: Mapping[str, Package], voices: Sequence[Voice]) -> Iterator[tuple[str, Voice]]:
    everybody = (*hibari.VOICES, *FLITE_VOICES)
    return ((text, voice) for text in sentences(packages) if (voice := voice_of(text, everybody)) in voices)


def flite_drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """The sentences of Flite's four voices."""
    with Flite(packages) as flite:
        yield from read_aloud(_share(packages, FLITE_VOICES), flite.say, texts="wordnet", synthesiser="flite")


def hibari_drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """The sentences of Hibari's voice."""
    return read_aloud(_share(packages, hibari.VOICES), hibari.say, texts="wordnet", synthesiser="hibari")


def kokoro_drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """A share of the sentences of five words and more, each in one of Kokoro's mixed voices."""
    kokoro = Kokoro(packages)
    long_ones = (text for text in sentences(packages) if len(text.split()) >= _MIN_WORDS)
    shared = (text for text in long_ones if number(text, "kokoro") < _MIXED_SHARE)
    return read_aloud(mixed_voices(shared, kokoro), kokoro.say, texts="wordnet", synthesiser="kokoro")


_FILES = ("wordnet_spoken.py", "wordnet_spoken.toml", "spoken.py")
RECIPES = (
    Recipe(
        name="wordnet-flite",
        packages=(*FLITE_PACKAGES, "wordnet-base"),
        licence="WordNet 3.0 (texts), CMU Flite (voices; BSD-like)",
        summary="English sentences read by four synthetic voices",
        drafts=flite_drafts,
        files=(*_FILES, "flite.py"),
    ),
    Recipe(
        name="wordnet-hibari",
        packages=("wordnet-base",),
        licence="WordNet 3.0 (texts), Apache-2.0 (voice)",
        summary="English sentences read by a synthetic voice",
        drafts=hibari_drafts,
        files=(*_FILES, "hibari.py"),
        needs="hibari",
    ),
    Recipe(
        name="wordnet-kokoro",
        packages=(*KOKORO_PACKAGES, "wordnet-base"),
        licence="WordNet 3.0 (texts), Apache-2.0 (voices)",
        summary="English sentences read by 240 synthetic voices",
        drafts=kokoro_drafts,
        files=(*_FILES, "kokoro.py"),
        needs="hibari",
    ),
)

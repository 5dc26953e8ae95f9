"""English dialogue read by synthesisers: what characters say and narrators tell in two games without recorded speech.

Texts of WordNet define and describe; people who talk to each other ask, threaten and promise. The campaigns of Battle
for Wesnoth and the conversations of FreedroidRPG are 16,000 sentences of that.
"""

import re
from collections.abc import Iterator, Mapping

from opendasheng.corpora.debian import Package
from opendasheng.corpora.flite import PACKAGES as FLITE_PACKAGES
from opendasheng.corpora.flite import VOICES as FLITE_VOICES
from opendasheng.corpora.flite import Flite
from opendasheng.corpora.recipe import Draft, Recipe, table
from opendasheng.corpora.spoken import distinct, read_aloud, voice_of

_CAMPAIGNS = (
    *("did", "dm", "dw", "ei", "httt", "l", "low", "nr"),
    *("sof", "sota", "sotbe", "thot", "trow", "tsg", "ttb", "utbs"),
)
_WESNOTH = tuple(f"wesnoth-1.16-{campaign}" for campaign in _CAMPAIGNS)
_FREEDROID = "freedroidrpg-data"
_PACKAGES = (*_WESNOTH, _FREEDROID)
# A text that is to be translated: message= _ "... ""quoted"" ..." in Wesnoth, _"... \"quoted\" ..." in FreedroidRPG.
_WML_TEXT = re.compile(r'(?:message|story)\s*=\s*_\s*"((?:[^"]|"")*)"')
_LUA_TEXT = re.compile(r'_"((?:[^"\\]|\\.)*)"')
# Typographic quotation marks, dashes and dots.
_PLAIN = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2014": ", ", "\u2013": ", ", "\u2026": "..."}
)
_MARKUP = re.compile(r"<[^>]*>")
_END = re.compile(r"(?<=[.!?])[\"')]*\s+")
_DRAWN_OUT = re.compile(r"([A-Za-z])\1\1")
_UPPER = frozenset(("I", "I'm", "I'll", "I've", "I'd", "God", "Lord"))


def lines(packages: Mapping[str, Package]) -> list[str]:
    """Sentences that can be read as they stand, without names (made up, and spoken as nobody knows) and cries."""
    sentences = (sentence for text in _texts(packages) for sentence in _sentences(text))
    return distinct(sentences, table("game_lines.toml")["left_out"])


def _texts(packages: Mapping[str, Package]) -> Iterator[str]:
    for name in _WESNOTH:
        for content in packages[name].read(lambda path: path.endswith(".cfg")).values():
            yield from (text.replace('""', '"') for text in _WML_TEXT.findall(content.decode(errors="replace")))
    for content in packages[_FREEDROID].read(lambda path: "/dialogs/" in path and path.endswith(".lua")).values():
        for text in _LUA_TEXT.findall(content.decode(errors="replace")):
            yield text.replace("\\n", " ").replace('\\"', '"')


def _sentences(text: str) -> Iterator[str]:
    plain = " ".join(_MARKUP.sub("", text.translate(_PLAIN)).split()).replace(" ,", ",")
    for sentence in _END.split(plain):
        bare = sentence.strip(' "')
        if bare and not _DRAWN_OUT.search(bare) and not _has_name(bare):
            yield bare


def _has_name(sentence: str) -> bool:
    return any(word[0].isupper() and word.strip(".,!?") not in _UPPER for word in sentence.split()[1:])


def drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """All lines, each by one of Flite's four voices."""
    chosen = ((text, voice_of(text, FLITE_VOICES)) for text in lines(packages))
    with Flite(packages) as flite:
        yield from read_aloud(chosen, flite.say, texts="lines", synthesiser="flite")


RECIPE = Recipe(
    name="game-lines",
    packages=(*_PACKAGES, *FLITE_PACKAGES),
    licence="GPL-2+ (texts), CMU Flite (voices; BSD-like)",
    summary="English dialogue of games read by four synthetic voices",
    drafts=drafts,
    files=("game_lines.py", "game_lines.toml", "spoken.py", "flite.py"),
    own_source="game-lines",
)

"""The words for sounds: one label per kind of sound, shared by all sources, with its wider labels and its captions.

The words are in ``vocabulary.toml``. A label belongs to a group; the group gives the wider labels and the phrasings
that are true of whatever is in it, and a label may have sentences of its own where more is certain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from opendasheng.corpora import captions
from opendasheng.corpora.recipe import table
from opendasheng.errors import CorpusError

NUM_CAPTIONS = 3


@dataclass(frozen=True)
class Entry:
    """One kind of sound: its ``label``, all ``labels`` that hold for it (itself first), and complete ``sentences``."""

    label: str
    kind: str
    labels: tuple[str, ...]
    sentences: tuple[str, ...]

    def captions(self, key: str) -> tuple[str, ...]:
        """Up to three of the sentences, chosen by the hash of ``key``."""
        return captions.choose(key, self.sentences, NUM_CAPTIONS)


@cache
def entries() -> Mapping[str, Entry]:
    """Label -> entry, for every label of the vocabulary.

    Raises:
        CorpusError: a label without sentences, or one that is listed twice.
    """
    found: dict[str, Entry] = {}
    for group in table("vocabulary.toml").values():
        for label, own in _members(group).items():
            if label in found:
                raise CorpusError(f"vocabulary.toml lists {label!r} twice; keep one")
            noun = own.get("noun", with_article(label))
            templates = own.get("is") or group["templates"]
            sentences = tuple(t.format(a=noun, A=noun[0].upper() + noun[1:], label=label) for t in templates)
            if not sentences:
                raise CorpusError(f"vocabulary.toml: label {label!r} has no sentence; give it one")
            labels = tuple(dict.fromkeys((label, *own.get("also", ()), *group.get("labels", ()))))
            found[label] = Entry(label, group["kind"], labels, sentences)
    return MappingProxyType(found)


def with_article(noun: str) -> str:
    """A singular ``noun`` with its indefinite article; a plural needs sentences of its own in the table."""
    starts_with_vowel = noun[0] in "aeio" or (noun[0] == "u" and not noun.startswith(("uk", "uni")))
    return f"an {noun}" if starts_with_vowel else f"a {noun}"


def _members(group: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    repeated = set(group["members"]) & set(group["special"])
    if repeated:
        raise CorpusError(f"vocabulary.toml lists {sorted(repeated)[0]!r} as member and as special; keep one")
    return {**{label: {} for label in group["members"]}, **group["special"]}


def entry(label: str) -> Entry:
    """The entry of ``label``.

    Raises:
        CorpusError: no such label.
    """
    try:
        return entries()[label]
    except KeyError as error:
        raise CorpusError(
            f"label {label!r} is not in vocabulary.toml; add it there or correct the source's table"
        ) from error

"""What a builder is: a named source that yields drafts, which the build turns into clips."""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendasheng.corpora.debian import Package
from opendasheng.data import shards
from opendasheng.data.clip import SPLITS
from opendasheng.errors import CorpusError

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Draft:
    """One clip before its audio is decoded.

    ``audio`` is the encoded file. A recording longer than ``excerpt_above_seconds`` (if set) becomes several clips of
    ten seconds: ``ID-00``, ``ID-01``, ... ``licence`` overrides the source's. A transcript with more than
    ``max_characters_per_second`` belongs to another recording, and the clip is left out.
    """

    id: str
    audio: bytes
    split: str
    kind: str
    origin: str
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    language: str | None = None
    speaker: str | None = None
    gender: str | None = None
    transcript: str | None = None
    translation: str | None = None
    licence: str | None = None
    excerpt_above_seconds: float | None = None
    max_characters_per_second: float = 40.0


@dataclass(frozen=True)
class Recipe:
    """A source: which packages it reads and how they become drafts.

    ``drafts`` takes the packages by name and yields in a fixed order. ``files`` are the files of this room that decide
    the result: they and the packages make the fingerprint, so a change in either means another build. ``needs`` is a
    Python module that is not installed by default. Clips call their source by the first package, or ``own_source``.
    """

    name: str
    packages: tuple[str, ...]
    licence: str
    summary: str
    drafts: Callable[[Mapping[str, Package]], Iterator[Draft]]
    files: tuple[str, ...] = ()
    needs: str = ""
    own_source: str = ""

    @property
    def source(self) -> str:
        """What its clips call their source."""
        return self.own_source or self.packages[0]

    def fingerprint(self, packages: Mapping[str, Package]) -> str:
        """Sha256 over the packages, the files that make the recipe and the shard format."""
        common = ("recipe.py", "build.py", "captions.py")
        parts = {
            "name": self.name,
            "format": shards.FORMAT,
            "packages": {name: package.sha256 for name, package in packages.items()},
            "files": {name: hashlib.sha256((_HERE / name).read_bytes()).hexdigest() for name in (*common, *self.files)},
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def clip_id(*parts: str) -> str:
    """Parts joined to an id that a shard may hold: letters, digits, ``_`` and ``-`` only, the same for the same parts.

    Characters that are not allowed become ``_``; parts that need this get a short digest, so that two never collide.
    """
    joined = "-".join(parts)
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", joined)
    if plain == joined.replace("/", "_"):
        return plain
    return f"{plain}-{hashlib.sha256(joined.encode()).hexdigest()[:6]}"


def table(name: str) -> dict[str, Any]:
    """The TOML table ``name`` of this room."""
    return tomllib.loads((_HERE / name).read_text(encoding="utf-8"))


def spelling(text: str) -> str:
    """``text`` as far as it can be heard: letters and digits only, in lower case."""
    return "".join(character for character in text.lower() if character.isalnum())


def without_shared_texts(drafts: Iterable[Draft]) -> Iterator[Draft]:
    """``drafts`` less those whose words also occur in an earlier split of train, dev, test, in the same language.

    A translation counts as words in English: what has been learnt as an answer is no question any more.

    Raises:
        CorpusError: a draft without a transcript.
    """
    kept = [(draft, _texts(draft)) for draft in drafts]
    first: dict[tuple[str | None, str], int] = {}
    for draft, texts in kept:
        for text in texts:
            first[text] = min(first.get(text, len(SPLITS)), SPLITS.index(draft.split))
    for draft, texts in kept:
        if all(first[text] == SPLITS.index(draft.split) for text in texts):
            yield draft


def _texts(draft: Draft) -> list[tuple[str | None, str]]:
    """Language and spelling of what a draft says."""
    if draft.transcript is None:
        raise CorpusError(f"draft {draft.id} has no transcript to compare")
    said = [(draft.language, draft.transcript), ("en", draft.translation)]
    return [(language, spelling(text)) for language, text in said if text is not None]


def part(key: str, dev_percent: int, test_percent: int) -> str:
    """A split by the hash of ``key`` alone, so that all clips with that key fall together, whatever else is there."""
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % 100
    if place < test_percent:
        return "test"
    return "dev" if place < test_percent + dev_percent else "train"

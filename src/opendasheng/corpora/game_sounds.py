"""Sound effects of games, named by their files: one row of rules per package in ``game_sounds.toml``."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from opendasheng.corpora import archives, vocabulary
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, table

_WHOLE_UP_TO_SECONDS = 30.0


def label_of(path: str, rules: Sequence[Sequence[str]]) -> str | None:
    """The label that the first matching rule gives to ``path`` (without extension), or None."""
    stem = path.lower().rsplit(".", 1)[0]
    for pattern, label in rules:
        if re.search(pattern, stem):
            return label or None
    return None


def drafts(packages: Mapping[str, Package], name: str) -> Iterator[Draft]:
    """All files of the row ``name`` whose name says what they are."""
    row: dict[str, Any] = table("game_sounds.toml")[name]
    files = archives.audio_files(packages[row["package"]], row["root"], tuple(row.get("archives", ())))
    for path, audio in files.items():
        label = label_of(path, row["rules"])
        if label is None:
            continue
        entry = vocabulary.entry(label)
        identity = clip_id(name, path.rsplit(".", 1)[0], path.rsplit(".", 1)[1])
        yield Draft(
            id=identity,
            audio=audio,
            split=row["split"],
            kind=entry.kind,
            origin=row["root"] + path,
            labels=entry.labels,
            captions=entry.captions(identity),
            excerpt_above_seconds=_WHOLE_UP_TO_SECONDS,
        )


def _recipe(name: str, row: Mapping[str, Any]) -> Recipe:
    return Recipe(
        name=name,
        packages=(row["package"],),
        licence=row["licence"],
        summary="sound effects of a game",
        drafts=partial(drafts, name=name),
        files=("game_sounds.py", "game_sounds.toml", "archives.py", "vocabulary.py", "vocabulary.toml"),
    )


RECIPES = tuple(_recipe(name, row) for name, row in table("game_sounds.toml").items())

"""Music of games in excerpts of ten seconds, one row per package in ``game_music.toml``."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from opendasheng.corpora import archives, captions
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, table

_EXCERPT_ABOVE_SECONDS = 10.0
_NUM_CAPTIONS = 3
_TABLE = "game_music.toml"


def moods(path: str) -> tuple[str, ...]:
    """The moods that the title of a track states, such as ``dark`` for a cave theme; usually one or none."""
    title = path.lower()
    return tuple(name for name, mood in table(_TABLE)["moods"].items() if re.search(mood["title"], title))


def drafts(packages: Mapping[str, Package], name: str) -> Iterator[Draft]:
    """All tracks of the row ``name``."""
    settings = table(_TABLE)
    row: dict[str, Any] = settings["packages"][name]
    for path, audio in archives.audio_files(
        packages[row["package"]], row["root"], tuple(row.get("archives", ()))
    ).items():
        if re.search(row.get("without", "$^"), path):
            continue
        identity = clip_id(name, path.rsplit(".", 1)[0])
        found = moods(path)
        sentences = [sentence for mood in found for sentence in settings["moods"][mood]["is"]]
        yield Draft(
            id=identity,
            audio=audio,
            split=row["split"],
            kind="music",
            origin=row["root"] + path,
            labels=("music", "video game music", *found),
            captions=captions.choose(identity, sentences or settings["plain"]["is"], _NUM_CAPTIONS),
            excerpt_above_seconds=_EXCERPT_ABOVE_SECONDS,
        )


def _recipe(name: str, row: Mapping[str, Any]) -> Recipe:
    return Recipe(
        name=name,
        packages=(row["package"],),
        licence=row["licence"],
        summary="music of a game",
        drafts=partial(drafts, name=name),
        files=("game_music.py", _TABLE, "archives.py"),
    )


RECIPES = tuple(_recipe(name, row) for name, row in table(_TABLE)["packages"].items())

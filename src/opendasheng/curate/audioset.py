"""What the classes of AudioSet are of, by ``audioset.toml``."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def classes() -> Mapping[str, str]:
    """By class, what it is of: speech, singing, instrument, music, sound, place or recording."""
    groups = tomllib.loads(files("opendasheng.curate").joinpath("audioset.toml").read_text(encoding="utf-8"))
    return {name: group for group, names in groups.items() for name in names}


def group_of(label: str) -> str:
    """The same of any label; one that AudioSet does not have is a sound."""
    return classes().get(label, "sound")


def word_of(label: str) -> str:
    """The first of the several words by which AudioSet names a class, in lower case."""
    return label.partition(",")[0].partition(" (")[0].lower()

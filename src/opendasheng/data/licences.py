"""Which licences of recordings are permissive; the lists are in ``licences.toml`` beside this file."""

import tomllib
from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=1)
def table() -> dict[str, frozenset[str]]:
    """The lists by name, ``permissive`` and ``other``, each licence as :func:`spelling` gives it."""
    lists = tomllib.loads(files("opendasheng.data").joinpath("licences.toml").read_text(encoding="utf-8"))
    return {name: frozenset(map(spelling, licences)) for name, licences in lists.items()}


def spelling(licence: str) -> str:
    """A licence however it is written: ``CC BY 4.0`` is ``cc-by-4.0``."""
    return "-".join(licence.lower().split())


def terms(licence: str) -> str:
    """The list that a licence is in, ``permissive`` or ``other``; ``unlisted`` where it is in none."""
    name = spelling(licence)
    return next((kind for kind, licences in table().items() if name in licences), "unlisted")


def is_permissive(licence: str) -> bool:
    """Whether what is made of a recording under ``licence`` may be used and passed on under any terms.

    A name that is in no list is not taken for one.
    """
    return terms(licence) == "permissive"

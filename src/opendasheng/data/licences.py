"""Which licences of recordings are permissive; the lists are in ``licences.toml`` beside this file."""

import tomllib
from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=1)
def table() -> dict[str, frozenset[str]]:
    """The lists by name, ``permissive`` and ``other``, in lower case."""
    lists = tomllib.loads(files("opendasheng.data").joinpath("licences.toml").read_text(encoding="utf-8"))
    return {name: frozenset(licence.lower() for licence in licences) for name, licences in lists.items()}


def is_permissive(licence: str) -> bool:
    """Whether what is made of a recording under ``licence`` may be used and passed on under any terms.

    A name that is in no list is not taken for one.
    """
    return licence.strip().lower() in table()["permissive"]

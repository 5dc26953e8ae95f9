"""What a run was begun with, as its folder keeps it, and whether the same goes on."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opendasheng.errors import ConfigError, TrainingError
from opendasheng.train.config import RunConfig, from_dict

CONFIG = "config.json"
# Differences that an error names.
_NUM_NAMED = 5
_UNSET = "not set"


def check_config(folder: Path, config: RunConfig) -> None:
    """Compare ``config`` with the one that the run in ``folder`` was begun with: it may differ in where the run
    computes and is stopped. An option that was unknown then has its default.

    Raises:
        TrainingError: names each key that differs, with both values; or the stored one cannot be read.
    """
    path = folder / CONFIG
    try:
        stored = from_dict(RunConfig, json.loads(path.read_bytes()), CONFIG)
    except (ConfigError, ValueError, AttributeError) as error:
        raise TrainingError(
            f"{path} cannot be read ({error}): give this run another name, or remove {folder}"
        ) from error
    there, here = _what_is_learnt(stored), _what_is_learnt(config)
    differing = [
        f"{key} is {there.get(key, _UNSET)!r} there and {here.get(key, _UNSET)!r} here"
        for key in sorted(there.keys() | here.keys())
        if there.get(key, _UNSET) != here.get(key, _UNSET)
    ]
    if differing:
        raise TrainingError(
            f"{path} is of another run: {in_short(differing)}; give this one another name, or remove {folder}"
        )


def in_short(words: list[str]) -> str:
    """The first few of ``words``, the others by their number."""
    more = len(words) - _NUM_NAMED
    return ", ".join(words[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")


def _what_is_learnt(config: RunConfig) -> dict[str, Any]:
    """A config by dotted keys, without what changes no number of a run, but its speed or where it is stopped."""
    values = dataclasses.asdict(config)
    del values["loop"]["max_loss_jump"]
    values["compute"] = {"precision": config.compute.precision}
    return _flat(values)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found

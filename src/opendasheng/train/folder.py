"""What a run was begun with, as its folder keeps it, and whether the same goes on."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from opendasheng.data.clip import Clip
from opendasheng.errors import ConfigError, TrainingError
from opendasheng.files import fcntl_module
from opendasheng.recipe import from_dict
from opendasheng.train.config import RunConfig

CONFIG, DATA, LOCK = "config.json", "data.json", ".lock"
# Differences that an error names.
_NUM_NAMED = 5
# Of the loop, what changes neither weights nor what a number of the record is of: validation draws nothing at random,
# and each step has a seed of its own. Not eval_batches: dev losses of one run would be of different clips.
_WATCHING = (
    "keep_checkpoints",
    "save_every",
    "log_every",
    "eval_every",
    "samples",
    "test_clips",
    "tensorboard",
    "max_loss_jump",
)
_UNSET = "not set"


def hold(folder: Path) -> BinaryIO | None:
    """A lock on ``folder`` that goes with the file that is returned, or with this process; None where the file system
    has no locks.

    Raises :class:`TrainingError` when another process holds it: two runs would write over each other.
    """
    fcntl = fcntl_module()
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / LOCK).open("ab")
    if fcntl is None:
        return file
    try:
        # Not flock: readers would inherit it, and hold it for a while after a run that was killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise TrainingError(f"{folder}: a run is going on there; wait for it, or give this one another name") from error
    except OSError:
        file.close()
        return None
    return file


def check_config(folder: Path, config: RunConfig) -> None:
    """Compare ``config`` with the one that the run in ``folder`` was begun with: it may differ in where the run lies
    and computes, in how it is watched, saved and tested, and in where it is stopped. An option that was unknown then
    has its default.

    Raises:
        TrainingError: names each key that differs, with both values; or the stored one cannot be read.
    """
    path = folder / CONFIG
    try:
        stored = from_dict(RunConfig, json.loads(path.read_bytes()), CONFIG)
    except (ConfigError, ValueError, AttributeError, RecursionError) as error:
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
            f"{path} is of another run: {_in_short(differing)}; give this one another name, or remove {folder}"
        )


def data_to_json(clips: Sequence[Clip]) -> str:
    """The clips that a run may draw from, as written into its folder."""
    return json.dumps(list(_by_source(clips).values()), indent=1) + "\n"


def _by_source(clips: Sequence[Clip]) -> dict[str, dict[str, Any]]:
    """For each source of ``clips``, in their order, how many there are and a digest of all that is told of them. Audio
    is not read; a field without a value counts nothing."""
    digests: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for clip in clips:
        told = {key: value for key, value in vars(clip).items() if value}
        digests.setdefault(clip.source, hashlib.sha256()).update(json.dumps(told, sort_keys=True).encode() + b"\n")
        counts[clip.source] = counts.get(clip.source, 0) + 1
    return {
        source: {"source": source, "num_clips": counts[source], "sha256": digest.hexdigest()}
        for source, digest in digests.items()
    }


def check_data(folder: Path, clips: Sequence[Clip], corpus: str) -> None:
    """Compare ``clips`` with those that the run in ``folder`` was begun with, if that is told there: others, or others
    before them, would be other draws.

    Raises:
        TrainingError: names the sources that differ; or what is stored cannot be read.
    """
    path = folder / DATA
    if not path.is_file():
        return
    try:
        then = {row["source"]: row for row in json.loads(path.read_bytes()) if row["num_clips"] > 0}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TrainingError(f"{path} cannot be read ({error}): give this run another name") from error
    now = _by_source(clips)
    differing = [
        f"{source} {_differs(then.get(source), now.get(source))}"
        for source in sorted(then.keys() | now.keys())
        if then.get(source) != now.get(source)
    ]
    if not differing and list(then) != list(now):
        differing = ["its sources are in another order"]
    if differing:
        raise TrainingError(
            f"the training clips of {corpus} are not those that {folder} began with: {_in_short(differing)}; build the "
            "corpus as it was, or give the run another name"
        )


def _differs(then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    if then is None or now is None:
        return "is new" if then is None else "is gone"
    return f"has other clips ({then['num_clips']} then, {now['num_clips']} now)"


def _in_short(words: list[str]) -> str:
    """The first few of ``words``, the others by their number."""
    more = len(words) - _NUM_NAMED
    return ", ".join(words[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")


def _what_is_learnt(config: RunConfig) -> dict[str, Any]:
    """A config by dotted keys, without what changes no number of a run, but its place, its speed, where it is stopped
    and how much is told of it."""
    values = dataclasses.asdict(config)
    del values["output"]
    for name in _WATCHING:
        del values["loop"][name]
    values["compute"] = {"precision": config.compute.precision}
    return _flat(values)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found

"""A recipe: a TOML file that becomes frozen dataclasses, with every key and type checked."""

import dataclasses
import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from opendasheng.errors import ConfigError

T = TypeVar("T")


def read_recipe(kind: type[T], path: str | Path) -> T:
    """The recipe of a file, as ``kind``. Raises :class:`ConfigError` for a missing file, broken TOML, an unknown key
    (naming the nearest known one) or a value of another type."""
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such recipe") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    return from_dict(kind, values, str(path))


def from_dict(kind: type[T], values: dict[str, Any], where: str) -> T:
    """Build a config dataclass from nested dictionaries, checking every key and type; ``where`` starts each error."""
    hints = get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    chosen: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key {key!r}; {hint}")
        chosen[key] = _convert(hints[key], value, f"{where}: {key}")
    missing = [
        name
        for name, f in known.items()
        if name not in chosen and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: {missing[0]!r} is required")
    return kind(**chosen)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a table, not {value!r}")
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, not {value!r}")
        return tuple(_convert(get_args(hint)[0], item, where) for item in value)
    if get_origin(hint) is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a table, not {value!r}")
        return {key: _convert(get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{where} is {value!r}; it is one of {', '.join(map(repr, get_args(hint)))}")
        return value
    if hint is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError as error:
            raise ConfigError(f"{where} has more than 300 digits; it is a finite number") from error
    if type(value) is not hint:
        raise ConfigError(f"{where} must be of type {hint.__name__}, not {value!r}")
    return value

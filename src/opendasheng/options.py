"""Numbers that a user gives, on the command line or in a recipe, each with an error that says what was wrong."""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence

from opendasheng.errors import ConfigError

# More than anything that is counted here; what computes with it in 64 bits does not overflow.
_MOST = 2**31 - 1


def at_least(least: int, *, at_most: float = math.inf) -> Callable[[str], int]:
    """Whole numbers from ``least`` on, up to ``at_most``."""
    limit = f" and at most {at_most:g}" if at_most < math.inf else ""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= at_most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}{limit}")
        return value

    return parse


def above_0(text: str) -> float:
    """A number above 0, which may be inf."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def require(
    config: object,
    table: str,
    *,
    above_zero: Sequence[str] = (),
    not_negative: Sequence[str] = (),
    at_least_1: Sequence[str] = (),
    shares: Sequence[str] = (),
    below_1: Sequence[str] = (),
    at_most: Mapping[str, float] | None = None,
) -> None:
    """Check the numbers of the dataclass ``config``, the options of ``table`` ("": of none) in a recipe.

    Raises :class:`ConfigError` for a value outside its range, and for any that is not finite; whole numbers that
    ``at_most`` does not name are at most 2147483647.
    """
    prefix = f"{table}." if table else ""
    ranges: tuple[tuple[Sequence[str], str, Callable[[float], bool]], ...] = (
        (above_zero, "above 0", lambda value: value > 0),
        (not_negative, "0 or more", lambda value: value >= 0),
        (at_least_1, "1 or more", lambda value: value >= 1),
        (shares, "from 0 to 1", lambda value: 0 <= value <= 1),
        (below_1, "from 0 to below 1", lambda value: 0 <= value < 1),
    )
    for names, words, fits in ranges:
        for name in names:
            value = getattr(config, name)
            if not fits(value):
                raise ConfigError(f"{prefix}{name} is {value}; it is {words}")
    for name, value in vars(config).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{prefix}{name} is {value}; it is a finite number")
        limit = (at_most or {}).get(name, _MOST if isinstance(value, int) else math.inf)
        if isinstance(value, int | float) and value > limit:
            raise ConfigError(f"{prefix}{name} is {value}; it is at most {limit:.10g}")

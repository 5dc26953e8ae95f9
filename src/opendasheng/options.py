"""Types of numbers on the command line, each with an error that says what was wrong."""

import argparse
import math
from collections.abc import Callable


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

"""How often clips are drawn in an epoch: ``repeats``, rates by source or kind."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from opendasheng.data.clip import KINDS, Clip
from opendasheng.errors import ConfigError

NEVER = "repeats of 0"
"""Why a clip of rate 0 is not drawn."""


def rate(repeats: Mapping[str, float], clip: Clip) -> float:
    """How often ``clip`` is drawn: its source's own rate counts before its kind's; 1 where neither is named."""
    return repeats.get(clip.source, repeats.get(clip.kind, 1.0))


def refuse_unknown(repeats: Iterable[str], sources: Iterable[str]) -> None:
    """Raise :class:`ConfigError` for a name that is neither one of ``sources`` nor a kind, with those like it."""
    known = sorted({*sources, *KINDS})
    for name in sorted(set(repeats) - set(known)):
        near = get_close_matches(name, known)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"repeats: no source or kind {name!r}; {hint}")

"""A few clips in the place of many, drawn evenly."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Protocol, TypeVar

T = TypeVar("T")


class Sourced(Protocol):
    """What a clip, or a record of one, says of itself."""

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str: ...


def spread(
    items: Sequence[T], limit: int | None, *, clip: Callable[[T], Sourced], group: Callable[[T], str] = lambda _: ""
) -> list[T]:
    """At most ``limit`` items, one from each group in turn, and from each source of a group in turn.

    Within a source the order is that of a hash of the clips' ids, so that neither length nor name decides.
    """
    groups: dict[str, dict[str, list[T]]] = {}
    for item in sorted(items, key=lambda item: hashlib.sha256(clip(item).id.encode()).digest()):
        groups.setdefault(group(item), {}).setdefault(clip(item).source, []).append(item)
    rows = [_alternate([groups[name][source] for source in sorted(groups[name])]) for name in sorted(groups)]
    return _alternate(rows)[:limit]


def _alternate(rows: Iterable[list[T]]) -> list[T]:
    return [item for column in zip_longest(*rows) for item in column if item is not None]

"""How much of a corpus is under permissive licences: what a run with ``data.permissive_only`` may learn from."""

from collections.abc import Sequence

from opendasheng.data.clip import SPLITS, Clip
from opendasheng.data.licences import terms


def by_terms(clips: Sequence[Clip]) -> str:
    """Hours and clips by the terms of their licences and by split, and the licences that are in no list."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for clip in clips:
        for split in (clip.split, "all"):
            seconds.setdefault((terms(clip.licence), split), []).append(clip.duration_seconds)
    lines = [
        f"{kind:<10}  {split:<5}  {sum(found) / 3600:8.3f} h  {len(found):6d} clips"
        for kind in ("permissive", "other", "unlisted")
        for split in (*SPLITS, "all")
        if (found := seconds.get((kind, split)))
    ]
    names = sorted({clip.licence for clip in clips if terms(clip.licence) == "unlisted"})
    return "\n".join([*lines, *(f"unlisted, so not taken for permissive: {name!r}" for name in names)])

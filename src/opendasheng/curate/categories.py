"""Which kinds of things are heard in a clip, and from them MECAT's domain and the category of the paper's Table 1.

Where there are several kinds, the category is named by the one that fills most of the clip.
"""

from collections.abc import Collection, Iterable, Mapping

from opendasheng.curate.audioset import group_of
from opendasheng.curate.record import Event, Record

KINDS = ("speech", "music", "sound")
NOTHING = {
    "speech": "No speech is heard.",
    "music": "No music is heard.",
    "sound": "No other sounds are heard.",
    "environment": "Nothing is known of the place or the recording.",
}
"""What a caption of a kind, or of the environment, says where there is nothing to say."""
# Which classes of audioset.toml, and which events of the expert activity, are of a kind: a song is music.
_GROUPS: Mapping[str, Collection[str]] = {
    "speech": ("speech",),
    "music": ("music", "instrument", "singing"),
    "sound": ("sound",),
}
# What is heard for less of a clip than this is more often one window of doubt than really there.
_LEAST_SHARE = 0.05


def shares(record: Record) -> dict[str, float]:
    """By kind, the share of the clip in which it is heard, from 0 to 1.

    Sounds are those of the expert ``tags``. Speech and music are, where ``activity`` has heard the clip, those that
    both report: ``activity`` takes short effects for speech, and ``tags`` a shout for an animal.
    """
    tagged = [event.model_copy(update={"label": group_of(event.label)}) for event in record.events("tags")]
    found = {kind: _covered(tagged, groups, record.duration_seconds) for kind, groups in _GROUPS.items()}
    active = record.events("activity")
    if "activity" in record.findings and not record.findings["activity"].error:
        for kind in ("speech", "music"):
            heard = _covered(active, _GROUPS[kind], record.duration_seconds)
            found[kind] = max(found[kind], heard) if found[kind] and heard else 0.0
    return found


def kinds_of(record: Record) -> dict[str, float]:
    """Those of :data:`KINDS` that are heard in it, with their shares."""
    return {kind: share for kind, share in shares(record).items() if share >= _LEAST_SHARE}


def named_kinds(record: Record) -> list[str]:
    """Those of :data:`KINDS` of which ``tags`` names an event; :func:`kinds_of` asks for more."""
    groups = {group_of(event.label) for event in record.events("tags")}
    return [kind for kind in KINDS if groups & set(_GROUPS[kind])]


def domain_of(record: Record) -> str:
    """One of :data:`~opendasheng.curate.record.DOMAINS`."""
    there = kinds_of(record)
    return "".join(letter if kind in there else "0" for letter, kind in zip("SMA", KINDS, strict=True))


def category_of(record: Record) -> str | None:
    """One of :data:`~opendasheng.curate.record.CATEGORIES`; none where nothing is heard."""
    there = kinds_of(record)
    if not there:
        return None
    return f"{'pure' if len(there) == 1 else 'mixed'} {max(there, key=there.__getitem__)}"


def _covered(events: Iterable[Event], labels: Collection[str], seconds: float) -> float:
    """Share of ``seconds`` in which some event with one of ``labels`` is heard."""
    covered, until = 0.0, 0.0
    for event in sorted((e for e in events if e.label in labels), key=lambda e: e.start_seconds):
        start = max(event.start_seconds, until)
        covered += max(0.0, event.end_seconds - start)
        until = max(until, event.end_seconds)
    return min(1.0, covered / seconds)

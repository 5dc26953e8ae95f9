"""Building a corpus: recipes -> drafts -> decoded clips -> shards, one folder per source, finished ones are kept."""

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from opendasheng.audio import load_audio
from opendasheng.corpora.debian import PackageStore
from opendasheng.corpora.recipe import Draft, Recipe
from opendasheng.data.clip import Clip
from opendasheng.data.shards import Audio, ShardReader, ShardWriter, is_complete, read_index
from opendasheng.errors import AudioError, CorpusError
from opendasheng.lengths import SAMPLE_RATE_HZ

logger = logging.getLogger(__name__)

MIN_SECONDS = 0.2
MAX_SECONDS = 30.0
EXCERPT_SECONDS = 10.0
MAX_EXCERPTS = 12
# Below -60 dBFS a clip is taken for silence: there is nothing in it to describe.
MIN_RMS = 1e-3
_BATCH = 64


@dataclass(frozen=True)
class Outcome:
    """What came of one source: ``built`` is False if a finished build was kept."""

    name: str
    built: bool
    num_clips: int
    hours: float
    left_out: dict[str, int]


def build(
    recipes: Sequence[Recipe], output: Path, store: PackageStore, *, num_jobs: int = 1, force: bool = False
) -> list[Outcome]:
    """Build ``recipes`` below ``output``, each into the folder of its name.

    A source that is already there, undamaged and made by the same recipe from the same packages, is kept as it is. One
    that was cut short is built from its beginning.

    Args:
        num_jobs: threads that decode.
        force: rebuild even what is complete, and replace what another recipe made.

    Raises:
        CorpusError: a package cannot be had or read, or a folder holds the finished build of another recipe and
            ``force`` is not set.
    """
    return [_build_one(recipe, output / recipe.name, store, num_jobs, force) for recipe in recipes]


def _build_one(recipe: Recipe, folder: Path, store: PackageStore, num_jobs: int, force: bool) -> Outcome:
    packages = {name: store.get(name) for name in recipe.packages}
    fingerprint = recipe.fingerprint(packages)
    if not force and is_complete(folder, fingerprint):
        index = read_index(folder)
        return _outcome(recipe.name, False, index["clips"], index["info"]["left_out"])
    if not force:
        refuse_foreign(folder, fingerprint, "was built by another version of its recipe or package")
    left_out: Counter[str] = Counter()
    info = {
        "licence": recipe.licence,
        "packages": {name: {"version": p.version, "sha256": p.sha256} for name, p in packages.items()},
    }
    durations = []
    with ShardWriter(folder, source=recipe.name, fingerprint=fingerprint, info=info) as writer:
        for clip, audio in clips(recipe, recipe.drafts(packages), left_out, num_jobs):
            writer.add(clip, audio)
            durations.append({"duration_seconds": clip.duration_seconds})
            if len(durations) % 500 == 0:
                logger.info("%s: %d clips", recipe.name, len(durations))
        if not durations:
            raise CorpusError(f"{recipe.name}: no clip is left of its packages; left out: {dict(left_out)}")
        writer.info["left_out"] = dict(sorted(left_out.items()))
    return _outcome(recipe.name, True, durations, dict(left_out))


def refuse_foreign(folder: Path, fingerprint: str, what: str) -> None:
    """A finished source that was made of something else is somebody's data: only ``force`` may replace it, and ``what``
    says what it is. A damaged one may go."""
    try:
        index = read_index(folder)
    except CorpusError:
        return
    if index["fingerprint"] != fingerprint:
        raise CorpusError(f"{folder} {what}; --force replaces it")
    logger.warning("%s is damaged and is built again", folder)


def _outcome(name: str, built: bool, records: Sequence[dict[str, float]], left_out: dict[str, int]) -> Outcome:
    hours = sum(record["duration_seconds"] for record in records) / 3600
    return Outcome(name, built, len(records), hours, left_out)


def clips(
    recipe: Recipe, drafts: Iterable[Draft], left_out: Counter[str], num_jobs: int = 1
) -> Iterator[tuple[Clip, Audio]]:
    """Decode drafts, in their order; what cannot be used is counted by reason in ``left_out``."""
    seen: set[bytes] = set()
    with ThreadPoolExecutor(max_workers=num_jobs) as pool:
        iterator = iter(drafts)
        while batch := list(islice(iterator, _BATCH)):
            batch = _without_duplicates(batch, seen, left_out)
            for draft, (audio, problem) in zip(batch, pool.map(_decode, batch), strict=True):
                if audio is None:
                    left_out[problem] += 1
                    logger.debug("%s left out: %s", draft.id, problem)
                    continue
                yield from _finish(recipe, draft, audio, left_out)


def _without_duplicates(batch: list[Draft], seen: set[bytes], left_out: Counter[str]) -> list[Draft]:
    """Packages repeat files under several names; only the first of the same bytes is a clip."""
    fresh = []
    for draft in batch:
        digest = hashlib.sha256(draft.audio).digest()
        if digest in seen:
            left_out["same file as another clip"] += 1
            continue
        seen.add(digest)
        fresh.append(draft)
    return fresh


def _decode(draft: Draft) -> tuple[Audio | None, str]:
    try:
        return load_audio(draft.audio), ""
    except AudioError as error:
        logger.debug("%s: %s", draft.id, error)
        return None, "not decodable"


def _finish(recipe: Recipe, draft: Draft, audio: Audio, left_out: Counter[str]) -> Iterator[tuple[Clip, Audio]]:
    above = draft.excerpt_above_seconds
    is_long = above is not None and len(audio) > above * SAMPLE_RATE_HZ
    for suffix, piece in excerpts(audio) if is_long else [("", audio)]:
        problem = _problem(piece, draft)
        if problem:
            left_out[problem] += 1
            continue
        yield _clip(recipe, draft, draft.id + suffix, len(piece)), piece


def _problem(audio: Audio, draft: Draft) -> str:
    seconds = len(audio) / SAMPLE_RATE_HZ
    if seconds < MIN_SECONDS:
        return f"shorter than {MIN_SECONDS} s"
    if seconds > MAX_SECONDS:
        return f"longer than {MAX_SECONDS:.0f} s"
    if math.sqrt(float(np.mean(np.square(audio, dtype=np.float64)))) < MIN_RMS:
        return "silent"
    if draft.transcript is not None and len(draft.transcript) > draft.max_characters_per_second * seconds:
        return "transcript too long for the audio"
    return ""


def excerpts(audio: Audio, seconds: float = EXCERPT_SECONDS, most: int = MAX_EXCERPTS) -> list[tuple[str, Audio]]:
    """Suffix and audio of at most ``most`` whole, non-overlapping excerpts, spread evenly over a recording.

    ``audio`` must be at least ``seconds`` long.
    """
    size = round(seconds * SAMPLE_RATE_HZ)
    available = len(audio) // size
    assert available > 0, "a recording shorter than an excerpt is a clip as it is"
    count = min(available, most)
    starts = [number * available // count * size for number in range(count)]
    return [(f"-{number:02d}", audio[start : start + size]) for number, start in enumerate(starts)]


def _clip(recipe: Recipe, draft: Draft, identity: str, num_samples: int) -> Clip:
    return Clip(
        id=identity,
        source=recipe.source,
        licence=draft.licence or recipe.licence,
        split=draft.split,
        kind=draft.kind,
        duration_seconds=round(num_samples / SAMPLE_RATE_HZ, 4),
        language=draft.language,
        speaker=draft.speaker,
        gender=draft.gender,
        transcript=draft.transcript,
        translation=draft.translation,
        labels=draft.labels,
        captions=draft.captions,
        origin=draft.origin,
    )


def report(folder: Path) -> str:
    """Hours and clips of a built corpus, by source, and by split, kind and language; a table in plain text."""
    clips_found = ShardReader(folder).clips
    by_source: dict[tuple[str, ...], list[float]] = {}
    by_use: dict[tuple[str, ...], list[float]] = {}
    for clip in clips_found:
        by_source.setdefault((clip.source, clip.licence[:40]), []).append(clip.duration_seconds)
        by_use.setdefault((clip.kind, clip.language or "-", clip.split), []).append(clip.duration_seconds)
    total: dict[tuple[str, ...], list[float]] = {("total",): [clip.duration_seconds for clip in clips_found]}
    return "\n".join([*_rows(by_source), "", *_rows(by_use), "", *_rows(total)])


def _rows(groups: dict[tuple[str, ...], list[float]]) -> list[str]:
    rows = [(" ".join(f"{name:<6}" for name in key), values) for key, values in sorted(groups.items())]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {sum(values) / 3600:8.3f} h  {len(values):6d} clips" for name, values in rows]

"""Which clips of the bundled sources are for training, development and test, fixed by a manifest (``splits.toml``).

A recipe decides the split of each clip by its speaker or source. The manifest holds, for each source and split, the
number of clips and a digest of their ids, so that a change of a recipe or a package cannot move a clip in silence.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from opendasheng.data.clip import Clip
from opendasheng.data.shards import INDEX, ShardReader

_HEAD = """\
# The split of every clip of the bundled sources: how many there are, how many speakers they name, and a digest of their
# ids. Written by `opendasheng corpus splits CORPUS`.
"""


class Part(NamedTuple):
    """The clips of a source in one split; ``sha256`` begins the digest of their sorted ids."""

    clips: int
    speakers: int
    sha256: str


def parts(clips: Iterable[Clip]) -> dict[str, Part]:
    """The parts of one source by split."""
    by_split: dict[str, list[Clip]] = {}
    for clip in clips:
        by_split.setdefault(clip.split, []).append(clip)
    return {split: _part(found) for split, found in sorted(by_split.items())}


def _part(clips: list[Clip]) -> Part:
    ids = "\n".join(sorted(clip.id for clip in clips))
    speakers = {clip.speaker for clip in clips if clip.speaker is not None}
    return Part(len(clips), len(speakers), hashlib.sha256(ids.encode()).hexdigest()[:16])


def of_corpus(corpus: Path) -> dict[str, dict[str, Part]]:
    """The parts of each source of a corpus, or of the one source that a folder is. Raises :class:`CorpusError` for a
    folder that is neither."""
    folders = [corpus] if (corpus / INDEX).is_file() else sorted(path.parent for path in corpus.glob(f"*/{INDEX}"))
    if not folders:
        ShardReader(corpus)  # which says what is missing
    return {folder.resolve().name: parts(ShardReader(folder).clips) for folder in folders}


@cache
def manifest() -> Mapping[str, Mapping[str, Part]]:
    """The parts that the bundled sources are to have."""
    text = files("opendasheng.corpora").joinpath("splits.toml").read_text(encoding="utf-8")
    return {
        source: {split: Part(**values) for split, values in of_source.items()}
        for source, of_source in tomllib.loads(text).items()
    }


def differences(found: Mapping[str, Mapping[str, Part]]) -> list[str]:
    """Where the sources of a corpus differ from the manifest, a line each; sources of one's own are not in it."""
    lines = []
    for source in sorted(set(found) & set(manifest())):
        wanted = manifest()[source]
        for split in sorted({*found[source], *wanted}):
            ours, theirs = found[source].get(split), wanted.get(split)
            if ours != theirs:
                lines.append(f"{source}: {split} has {_words(ours)}, the manifest {_words(theirs)}")
    return lines


def _words(part: Part | None) -> str:
    if part is None:
        return "no clip"
    return f"{part.clips} clips of {part.speakers} speakers ({part.sha256})"


def to_toml(found: Mapping[str, Mapping[str, Part]]) -> str:
    """A manifest of these parts."""
    blocks = [_HEAD]
    for source, of_source in sorted(found.items()):
        lines = [f"[{source}]"]
        for split, part in of_source.items():
            lines.append(f'{split} = {{ clips = {part.clips}, speakers = {part.speakers}, sha256 = "{part.sha256}" }}')
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)

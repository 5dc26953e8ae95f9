"""Corpora for tests of curation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardReader, ShardWriter


def write_clips(folder: Path, ids: Mapping[str, Sequence[str]]) -> Path:
    """Write half-second tones by source and id."""
    for source, names in ids.items():
        with ShardWriter(folder / source, source=source, fingerprint="1") as writer:
            for number, name in enumerate(names):
                audio = 0.2 * np.sin(2 * np.pi * (200 + 50 * number) * np.arange(8000 + 400 * number) / 16_000)
                seconds = len(audio) / 16_000
                clip = Clip(name, source, "CC0-1.0", "train", "sound", seconds, labels=("tone",), origin=f"{name}.wav")
                writer.add(clip, audio.astype(np.float32))
    return folder


def damage(folder: Path, clip_id: str) -> None:
    """Put zeros in the place of the audio of a clip."""
    reader = ShardReader(folder)
    entry = next(entry for entry in reader._entries if entry.clip.id == clip_id)
    with entry.shard.open("r+b") as file:
        file.seek(entry.offset)
        file.write(bytes(entry.size))

"""The audio of a row as a data URI that any browser plays: found, mixed down, resampled, encoded small."""

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from opendasheng.audio import SAMPLE_RATE_HZ, load_audio
from opendasheng.data.records import below
from opendasheng.errors import AudioError, CorpusError, EvaluationError
from opendasheng.evaluate.rows import Row

MAX_SECONDS = 15.0
# Of base64 in one page, which with its text then stays below 5 MB.
MAX_BYTES = 3_500_000


@dataclass(frozen=True)
class Sound:
    """A clip of ``seconds``, of which the first ``shown_seconds`` are in ``uri``; it is None where a note says why."""

    uri: str | None
    seconds: float
    shown_seconds: float
    note: str = ""


class Sounds:
    """Finds and encodes clips until ``max_bytes`` are used up.

    Audio is looked for below the folders of the predictions and below ``audio_root``, nowhere else: a path in a row
    cannot reach other files, and nothing is fetched. ``audio_root`` may be a corpus, where clips go by their id.
    Raises :class:`EvaluationError` where it is no folder.
    """

    def __init__(self, audio_root: str | Path | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self._root = None if audio_root is None else Path(audio_root)
        self._left, self._too_long = max_bytes, math.inf
        if self._root is not None and not self._root.is_dir():
            raise EvaluationError(f"{self._root}: there is no such folder; --audio-root is where the audio lies")

    def sound(self, row: Row, folders: Sequence[Path]) -> Sound | None:
        """The clip of a row, or None where no audio is found; what is found and cannot be decoded is said in a note."""
        try:
            audio = self._find(row, folders)
        except (AudioError, CorpusError):
            return Sound(None, 0.0, 0.0, "The audio was found but cannot be decoded.")
        if audio is None:
            return None
        seconds = len(audio) / SAMPLE_RATE_HZ
        shown = min(seconds, MAX_SECONDS)
        # What is as long as a clip that found no room is not even encoded.
        uri = data_uri(audio[: round(shown * SAMPLE_RATE_HZ)]) if shown < self._too_long else None
        if uri is None or len(uri) > self._left:
            self._too_long = min(shown, self._too_long)
            return Sound(None, seconds, 0.0, "The audio is left out: the page has no room for more.")
        self._left -= len(uri)
        note = "" if shown == seconds else f"The first {shown:.0f} of {seconds:.1f} seconds."
        return Sound(uri, seconds, shown, note)

    def _find(self, row: Row, folders: Sequence[Path]) -> NDArray[np.float32] | None:
        for name in _names(row, "audio"):
            for folder in (*folders, *([self._root] if self._root else ())):
                path = below(folder, name)
                if path is not None and _is_file(path):
                    return load_audio(path)
        for name in (*_names(row, "audio"), *_names(row, "id")):
            found = self._shards.get(PurePosixPath(name).name, self._shards.get(PurePosixPath(name).stem))
            if found is not None:
                reader, index = found
                audio: NDArray[np.float32] = reader.audio(index)
                return audio
        return None

    @cached_property
    def _shards(self) -> dict[str, tuple[Any, int]]:
        """Where each clip of a corpus lies: nothing where ``audio_root`` is none."""
        from opendasheng.data.shards import INDEX, ShardReader

        if self._root is None or not any((*self._root.glob(INDEX), *self._root.glob(f"*/{INDEX}"))):
            return {}
        reader = ShardReader(self._root)
        return {clip.id: (reader, index) for index, clip in enumerate(reader.clips)}


def _names(row: Row, field: str) -> Iterator[str]:
    value = row.fields.get(field)
    if isinstance(value, str) and value:
        yield value


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file system takes
        return False


def data_uri(audio: NDArray[np.float32]) -> str:
    """float32 ``(S,)`` at 16 kHz -> MP3 (FLAC where the local libsndfile writes none) as a ``data:`` URI.

    Both play in all browsers, and the same audio gives the same bytes, which Ogg with its random serial does not.
    """
    is_mp3 = "MP3" in soundfile.available_formats()
    buffer = io.BytesIO()
    form, subtype = ("MP3", "MPEG_LAYER_III") if is_mp3 else ("FLAC", "PCM_16")
    soundfile.write(buffer, np.clip(audio, -1, 1), SAMPLE_RATE_HZ, format=form, subtype=subtype)
    return f"data:audio/{'mpeg' if is_mp3 else 'flac'};base64,{base64.b64encode(buffer.getvalue()).decode()}"

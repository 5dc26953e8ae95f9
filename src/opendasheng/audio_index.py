"""Vectors of recordings on disk, to be searched by text or by sound.

A recording is cut into windows of like length, of 10 s at most, with a vector each. A folder holds ``vectors.f16``
(float16, row after row), ``recordings.jsonl``, a line for each recording that is written when its vectors are, and
``index.json``, which names the model. So a kill loses one recording at most, and only new or changed ones are heard by
the next run.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from opendasheng.audio import Waveform, load_audio
from opendasheng.errors import AudioError, ConfigError
from opendasheng.files import mend_lines, write_atomically
from opendasheng.lengths import MIN_MEL_SAMPLES, SAMPLE_RATE_HZ
from opendasheng.model.audio_text import AudioTextScorer

_VECTORS, _RECORDINGS, _ABOUT = "vectors.f16", "recordings.jsonl", "index.json"
_WINDOW_SAMPLES = 10 * SAMPLE_RATE_HZ  # what the encoder hears at once, nearly
_BATCH_WINDOWS = 16


@dataclass(frozen=True)
class Found:
    """A stretch of a recording, and its cosine with what was sought."""

    recording: str
    start_seconds: float
    end_seconds: float
    cosine: float


@dataclass(frozen=True)
class _Recording:
    """A line of ``recordings.jsonl``: where its vectors begin, where its windows end, and what its file was then."""

    recording: str
    size: int
    mtime_ns: int
    first: int
    ends_seconds: tuple[float, ...]


class AudioIndex:
    """The index in ``folder``, made there where it is not yet. One process writes it at a time."""

    def __init__(self, folder: str | Path, scorer: AudioTextScorer, model: str) -> None:
        """``model`` is the fingerprint of the weights of ``scorer``.

        Raises :class:`ConfigError` where the folder holds vectors of another model, or something else.
        """
        self.folder = Path(folder)
        self._scorer = scorer
        self._width = scorer.model.embed_size
        about = {"model": model, "width": self._width}
        path = self.folder / _ABOUT
        if path.is_file():
            if _read(path) != about:
                raise ConfigError(
                    f"{self.folder}: its vectors are of another model or version; remove the folder, or name another"
                )
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise ConfigError(f"{self.folder}: this folder is no index and not empty; name another")
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, (json.dumps(about) + "\n").encode())
        self._known = self._read_recordings()
        self._vectors: BinaryIO = (self.folder / _VECTORS).open("r+b")
        self._lines: BinaryIO = (self.folder / _RECORDINGS).open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._vectors.close()
        self._lines.close()

    def update(self, recordings: Sequence[str]) -> Iterator[tuple[str, AudioError | None]]:
        """Hear those that are new or have changed; each with the reason where it cannot be heard, as they are done."""
        for recording in recordings:
            size, mtime_ns = _state(recording)
            known = self._known.get(recording)
            if known is not None and (known.size, known.mtime_ns) == (size, mtime_ns):
                yield recording, None
                continue
            try:
                audio = load_audio(recording)
                if len(audio) < MIN_MEL_SAMPLES:
                    raise AudioError(f"{recording}: {len(audio)} samples at 16 kHz are too short to be heard")
            except AudioError as error:
                yield recording, error
                continue
            self._add(recording, size, mtime_ns, audio)
            yield recording, None

    def nearest(self, sought: NDArray[np.float32], recordings: Sequence[str], most: int) -> list[Found]:
        """The ``most`` windows among ``recordings`` that are nearest to a vector ``(E,)``, the best first."""
        vectors = np.fromfile(self.folder / _VECTORS, dtype=np.float16).reshape(-1, self._width)
        there = [self._known[name] for name in dict.fromkeys(recordings) if name in self._known]
        places = [(known, number) for known in there for number in range(len(known.ends_seconds))]
        if not places:
            return []
        rows = vectors[[known.first + number for known, number in places]].astype(np.float32)
        cosines = rows @ sought
        best = np.argsort(-cosines, kind="stable")[:most]
        return [_found(places[place][0], places[place][1], float(cosines[place])) for place in best]

    def of_text(self, text: str) -> NDArray[np.float32]:
        """What to seek for a text: float32 ``(E,)``."""
        vector: NDArray[np.float32] = self._scorer.encode_texts([text])[0]
        return vector

    def of_audio(self, source: str) -> NDArray[np.float32]:
        """What to seek for a sound, the mean over its windows. Raises :class:`AudioError`."""
        mean = self._embedded(_windows(load_audio(source))).astype(np.float32).mean(0)
        vector: NDArray[np.float32] = mean / np.linalg.norm(mean)
        return vector

    def _add(self, recording: str, size: int, mtime_ns: int, audio: Waveform) -> None:
        windows = _windows(audio)
        ends = np.cumsum([len(window) for window in windows]) / SAMPLE_RATE_HZ
        first = self._vectors.seek(0, os.SEEK_END) // (2 * self._width)
        try:
            self._vectors.write(self._embedded(windows).tobytes())
            self._vectors.flush()
            os.fsync(self._vectors.fileno())
            known = _Recording(recording, size, mtime_ns, first, tuple(round(float(end), 3) for end in ends))
            self._lines.write(json.dumps(asdict(known), ensure_ascii=False).encode() + b"\n")
            self._lines.flush()
        except OSError as error:
            raise ConfigError(
                f"{self.folder}: cannot be written ({error.strerror or error}); make room, and the same command goes on"
            ) from error
        self._known[recording] = known

    def _embedded(self, windows: Sequence[Waveform]) -> NDArray[np.float16]:
        """float16 ``(N, E)``."""
        parts = [
            self._scorer.encode_audio(windows[start : start + _BATCH_WINDOWS])
            for start in range(0, len(windows), _BATCH_WINDOWS)
        ]
        return np.concatenate(parts).astype(np.float16)

    def _read_recordings(self) -> dict[str, _Recording]:
        """What the index holds; vectors of a recording that has no line are cut off."""
        path, vectors = self.folder / _RECORDINGS, self.folder / _VECTORS
        mend_lines(path)
        known = {}
        rows = 0
        for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else (), 1):
            try:
                fields = json.loads(line)
                read = _Recording(**{**fields, "ends_seconds": tuple(fields["ends_seconds"])})
                rows = max(rows, read.first + len(read.ends_seconds))
            except (ValueError, TypeError, KeyError) as error:
                raise ConfigError(f"{path}: line {number} is damaged; remove {self.folder} to begin anew") from error
            known[read.recording] = read
        vectors.touch()
        if vectors.stat().st_size < 2 * self._width * rows:
            raise ConfigError(f"{vectors}: it is cut short; remove {self.folder} to begin anew")
        os.truncate(vectors, 2 * self._width * rows)
        return known


def _windows(audio: Waveform) -> list[Waveform]:
    """Stretches of like length, as few as there can be."""
    return np.array_split(audio, -(-len(audio) // _WINDOW_SAMPLES))


def _found(known: _Recording, number: int, cosine: float) -> Found:
    start = known.ends_seconds[number - 1] if number else 0.0
    return Found(known.recording, start, known.ends_seconds[number], round(cosine, 4))


def _state(recording: str) -> tuple[int, int]:
    """Size and time of change of a file; zeros for what is none, such as a URL."""
    try:
        state = Path(recording).stat()
    except (OSError, ValueError):
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None

"""How many people speak, and when each of them does: voices of short windows, brought together by likeness.

A voice is a vector of a speaker encoder: any x-vector model of transformers (WavLM, wav2vec 2.0), or the small GE2E
encoder of Resemblyzer (Wan et al. 2018; 1.4 million parameters).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from opendasheng import hub
from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert, library
from opendasheng.curate.experts.compiled import Librosa
from opendasheng.curate.record import Event, Findings, Record
from opendasheng.errors import CheckpointError
from opendasheng.files import sha256
from opendasheng.lengths import SAMPLE_RATE_HZ

_WINDOW_SAMPLES, _HOP_SAMPLES = round(1.6 * SAMPLE_RATE_HZ), round(0.8 * SAMPLE_RATE_HZ)
# Less of a voice tells little of whose it is.
_LEAST_SAMPLES = round(0.8 * SAMPLE_RATE_HZ)
# Groups of windows whose mean distance is less than this are of one speaker.
_NEAR = 0.4
_MOST_WINDOWS = 600


class Speakers(Expert):
    """Of clips in which speech may be heard, where ``activity`` hears it, if it has. Speakers are numbered in the order
    in which they begin; who speaks at the same time is one."""

    name = "speakers"
    aspects = ("num_speakers",)
    kind = "speech"

    def __init__(self, model: str) -> None:
        """``model`` is an x-vector model of transformers (a folder or a hub id), or Resemblyzer's ``pretrained.pt``.

        Raises :class:`CheckpointError` for what is none of them, and :class:`ConfigError` where a library is missing.
        """
        self._cluster = library("sklearn.cluster", self.name)
        place = hub.place(model)
        self._voices: _Ge2e | _XVectors = _Ge2e(place) if place.is_file() else _XVectors(place)
        self._version = f"1, {self._voices.name}"

    @property
    def version(self) -> str:
        return self._version

    def hear(self, audio: Waveform, record: Record) -> Findings:
        windows = _windows(len(audio), _speech(record, len(audio)))
        if not windows:
            return Findings(version=self.version)
        vectors = self._voices([audio[start:end] for start, end in windows])
        labels = self._grouped(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))
        events = tuple(_turns(windows, labels))
        return Findings(version=self.version, values={"num_speakers": len({e.label for e in events})}, events=events)

    def _grouped(self, vectors: NDArray[np.float32]) -> list[int]:
        """The speaker of each window, from 0 on in the order in which they begin."""
        if len(vectors) == 1:
            return [0]
        found = self._cluster.AgglomerativeClustering(
            n_clusters=None, metric="cosine", linkage="average", distance_threshold=_NEAR
        ).fit_predict(vectors)
        groups = _without_strays(vectors, np.asarray(found))
        order = {int(group): number for number, group in enumerate(dict.fromkeys(groups))}
        return [order[int(group)] for group in groups]


class _Ge2e:
    """Resemblyzer's encoder: three LSTM layers over 40 mel bands, a linear layer, ReLU."""

    def __init__(self, path: Path) -> None:
        self._librosa = Librosa(Speakers.name, _mel)
        self.name = f"GE2E {sha256(path)[:16]}"
        self._lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self._linear = nn.Linear(256, 256)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            for part, module in (("lstm", self._lstm), ("linear", self._linear)):
                names = [name for name in state if name.startswith(f"{part}.")]
                module.load_state_dict({name.removeprefix(f"{part}."): state[name] for name in names})
        except Exception as error:  # pickles fail in many ways
            words = type(error).__name__
            raise CheckpointError(f"{path}: this is no encoder of Resemblyzer ({words}); get it again") from error

    @torch.inference_mode()
    def __call__(self, windows: list[Waveform]) -> NDArray[np.float32]:
        """float32 ``(N, 256)``."""
        return np.stack([self._vector(window) for window in windows])

    def _vector(self, window: Waveform) -> NDArray[np.float32]:
        mel = _mel(self._librosa.ready, window)
        _, (last, _) = self._lstm(torch.from_numpy(mel.T[None].astype(np.float32)))
        voice: Tensor = self._linear(last[-1]).relu()[0]
        found: NDArray[np.float32] = voice.numpy()
        return found


def _mel(librosa: Any, window: Waveform) -> NDArray[np.float32]:
    found: NDArray[np.float32] = librosa.feature.melspectrogram(
        y=window, sr=SAMPLE_RATE_HZ, n_fft=400, hop_length=160, n_mels=40
    )
    return found


class _XVectors:
    """A model of transformers that has a head for x-vectors."""

    def __init__(self, place: Path) -> None:
        from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

        self.name = f"{place.name} {hub.fingerprint(place)}"
        try:
            self._extract: Any = AutoFeatureExtractor.from_pretrained(place)
            self._model: Any = AutoModelForAudioXVector.from_pretrained(place).eval()
        except (OSError, ValueError, KeyError) as error:
            words = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{place}: no x-vector model of transformers can be read from it ({words})"
            ) from error

    @torch.inference_mode()
    def __call__(self, windows: list[Waveform]) -> NDArray[np.float32]:
        """float32 ``(N, D)``; one window at a time, since padding would change them."""
        found = []
        for window in windows:
            inputs = self._extract(window, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
            found.append(self._model(**inputs).embeddings[0].numpy())
        return np.stack(found).astype(np.float32)


def _without_strays(vectors: NDArray[np.float32], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """A window alone, most often one in which a voice ends and the next begins, goes to the nearest of the groups of
    several."""
    names, counts = np.unique(groups, return_counts=True)
    kept = names[counts > 1]
    if not len(kept):
        return groups
    means = np.stack([vectors[groups == name].mean(0) for name in kept])
    nearest = kept[(vectors @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)]
    return np.where(np.isin(groups, kept), groups, nearest)


def _speech(record: Record, length: int) -> list[tuple[int, int]]:
    """Stretches of speech in samples; the whole clip where nobody has listened for them."""
    if "activity" not in record.findings or record.findings["activity"].error:
        return [(0, length)]
    spans = [event for event in record.events("activity") if event.label == "speech"]
    return [
        (round(event.start_seconds * SAMPLE_RATE_HZ), min(length, round(event.end_seconds * SAMPLE_RATE_HZ)))
        for event in spans
    ]


def _windows(length: int, speech: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Windows of 1.6 s every 0.8 s within speech, shorter ones at its ends, of at least 0.8 s; fewer of long clips."""
    found = []
    for start, end in speech:
        starts = range(start, max(start + 1, end - _WINDOW_SAMPLES + _HOP_SAMPLES), _HOP_SAMPLES)
        found += [(at, min(end, at + _WINDOW_SAMPLES)) for at in starts]
    long = [(start, end) for start, end in found if end - start >= min(_LEAST_SAMPLES, length)]
    step = -(-len(long) // _MOST_WINDOWS) if long else 1
    return long[::step]


def _turns(windows: list[tuple[int, int]], labels: list[int]) -> list[Event]:
    """Stretches of one speaker: neighbouring windows of the same are one; where two overlap they meet in the middle."""
    turns: list[tuple[int, int, int]] = []
    for (start, end), label in zip(windows, labels, strict=True):
        if turns and turns[-1][2] == label and start <= turns[-1][1]:
            turns[-1] = turns[-1][0], end, label
            continue
        if turns and start < turns[-1][1]:
            middle = (start + turns[-1][1]) // 2
            turns[-1] = turns[-1][0], middle, turns[-1][2]
            start = middle
        turns.append((start, end, label))
    return [
        Event(
            label=f"speaker {label + 1}",
            start_seconds=round(start / SAMPLE_RATE_HZ, 2),
            end_seconds=round(end / SAMPLE_RATE_HZ, 2),
        )
        for start, end, label in turns
    ]

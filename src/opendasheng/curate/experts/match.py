"""Where a clip lies in the space of an audio-text model: what captions, and other clips, are compared with."""

import base64

import numpy as np
from numpy.typing import NDArray

from opendasheng import hub
from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert
from opendasheng.curate.record import Findings, Record
from opendasheng.model.audio_text_files import load_audio_text


class Match(Expert):
    """By GLAP (arXiv 2506.11350) or a smaller model of its kind; the vector is float16, as base64."""

    name = "match"
    aspects = ("vector",)

    def __init__(self, model: str = hub.MATCHING, device: str = "cpu") -> None:
        """``model`` is ``mini-match``, a folder, or GLAP's weights; raises what :func:`load_audio_text` does."""
        place = hub.place(model)
        self._scorer = load_audio_text(place, device)
        self._version = f"1, {hub.fingerprint(place)}"

    @property
    def version(self) -> str:
        return self._version

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        [vector] = self._scorer.encode_audio([audio])
        return Findings(version=self.version, vector=base64.b64encode(vector.astype("<f2").tobytes()).decode())


def vector_of(record: Record) -> NDArray[np.float32] | None:
    """What the expert has reported, float32 ``(E,)``; none where it has not."""
    found = record.findings.get(Match.name)
    if found is None or not found.vector:
        return None
    return np.frombuffer(base64.b64decode(found.vector), dtype="<f2").astype(np.float32)

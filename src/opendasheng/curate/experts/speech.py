"""What is said, and in which language, by Whisper."""

from opendasheng import hub
from opendasheng.audio import Waveform
from opendasheng.curate.expert import Expert
from opendasheng.curate.record import Findings, Record
from opendasheng.experts.whisper import Whisper


class Speech(Expert):
    """Of clips in which speech may be heard. A model that knows one language alone says nothing of which it is."""

    name = "speech"
    aspects = ("transcript", "language")
    kind = "speech"

    def __init__(self, model: str, dtype: str = "auto") -> None:
        """``model`` is the folder of :class:`Whisper`, or a hub id such as ``Systran/faster-whisper-large-v3``;
        ``dtype`` is what it computes in, such as int8. Raises what :class:`Whisper` does."""
        folder = hub.place(model, also=("model.bin",))
        self._whisper = Whisper(folder, dtype=dtype)
        told = "" if dtype == "auto" else f" {dtype}"
        self._version = f"2, whisper {self._whisper.name} {hub.fingerprint(folder, weights='.bin')}{told}"

    @property
    def version(self) -> str:
        return self._version

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        found = self._whisper.transcribe(audio)
        values = {}
        if len(self._whisper.languages) > 1:
            values["language"] = found.language
        if found.text:
            values["transcript"] = found.text
        return Findings(version=self.version, values=values)

"""How good a recording of speech sounds, from 1 to 5, by DNSMOS (Reddy et al. 2021 and 2022)."""

from importlib.metadata import version
from pathlib import Path

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


# What the models hear at a time. speechmos doubles shorter clips until they are that long and hears windows of the
# result every second, up to nine of them of the same few seconds; one window of the repeated clip tells as much.
_WINDOW_SECONDS = 9.01


class Quality(Expert):
    """Of clips in which speech may be heard. The models hear 9 s at a time; shorter clips are repeated."""

    name = "quality"
    aspects = tuple(_NAMES.values())
    kind = "speech"

    def __init__(self) -> None:
        """Raises :class:`ConfigError` where speechmos is not installed."""
        runtime, module = library("onnxruntime", self.name), library("speechmos.dnsmos", self.name)
        folder = Path(module.__file__).parent / "dnsmos_models"
        paths = [str(folder / name) for name in ("sig_bak_ovr.onnx", "model_v8.onnx")]
        self._dnsmos = module.DNSMOS(*paths)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # others listen beside it, and its threads would wait for each other in a spin
        self._dnsmos.onnx_sess, self._dnsmos.p808_onnx_sess = (runtime.InferenceSession(p, options) for p in paths)

    @property
    def version(self) -> str:
        return f"2, speechmos {version('speechmos')}"

    def hear(self, audio: Waveform, record: Record) -> Findings:
        del record
        if not np.abs(audio).max(initial=0.0) > 0:  # of silence it has an opinion too
            return Findings(version=self.version)
        long_enough = np.resize(audio, max(len(audio), int(_WINDOW_SECONDS * SAMPLE_RATE_HZ)))
        found = self._dnsmos(np.clip(long_enough, -1.0, 1.0), SAMPLE_RATE_HZ, False)
        return Findings(
            version=self.version, values={ours: round(float(found[name]), 2) for name, ours in _NAMES.items()}
        )

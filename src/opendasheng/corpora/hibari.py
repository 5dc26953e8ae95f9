"""Hibari, a synthesiser that comes as a Python package: one voice."""

import importlib
from functools import cache
from typing import Any

import numpy as np

from opendasheng.corpora.spoken import Voice, number, wav
from opendasheng.errors import CorpusError

VOICES = (Voice("heart", "female", 40),)


@cache
def _synthesiser() -> Any:
    try:
        return importlib.import_module("hibari").Hibari()
    except ImportError as error:
        raise CorpusError(f"Hibari is not installed: pip install 'opendasheng[synthesis]' ({error})") from error


def say(text: str, voice: Voice) -> bytes:
    """A WAV file, at 0.8 to 1.25 of the voice's pace. Raises :class:`CorpusError` where Hibari is not installed."""
    del voice  # there is one
    audio = np.asarray(_synthesiser()(text, speed=0.8 + 0.45 * number(text, "pace"), seed=0), dtype=np.float32)
    return wav(audio, importlib.import_module("hibari").SAMPLE_RATE)

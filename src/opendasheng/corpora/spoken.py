"""English sentences that synthesisers read: which can be read as they stand, by which voice, and the clips they become.

What is said how follows from the hash of the sentence alone, so that every build makes the same clips.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import soundfile

from opendasheng.corpora import captions
from opendasheng.corpora.recipe import Draft, clip_id, part, spelling
from opendasheng.progress import Progress

_SENTENCE = re.compile(r"[A-Za-z][A-Za-z' ,.!?-]*")
_ACRONYM = re.compile(r"[A-Z]{2}")
_WORDS = range(2, 17)
_MAX_CHARACTERS = 90
_DEV_PERCENT = 1
_AT_ONCE = 64


@dataclass(frozen=True)
class Voice:
    """A voice of a synthesiser; ``share`` is how much it reads in proportion to others, ``pitch_hz`` its mean where it
    can be set."""

    name: str
    gender: str
    share: int = 0
    pitch_hz: float = 0.0


AnyVoice = TypeVar("AnyVoice", bound=Voice)


def can_be_read(text: str) -> bool:
    """Whether ``text`` is 2 to 16 words and plain punctuation, without acronyms."""
    fits = len(text) <= _MAX_CHARACTERS and len(text.split()) in _WORDS
    return fits and bool(_SENTENCE.fullmatch(text)) and not _ACRONYM.search(text)


def distinct(texts: Iterable[str], left_out: Iterable[str]) -> list[str]:
    """Those of ``texts`` that can be read, in the order of their spelling, the first of each, without ``left_out``."""
    found: dict[str, str] = {}
    for text in texts:
        if can_be_read(text):
            found.setdefault(spelling(text), text)
    for text in left_out:
        found.pop(spelling(text), None)
    return [found[key] for key in sorted(found)]


def number(text: str, what: str) -> float:
    """A number from 0 to below 1 that belongs to a sentence."""
    return int.from_bytes(hashlib.sha256(f"{what}|{text}".encode()).digest()[:4], "big") / 2**32


def voice_of(text: str, voices: Sequence[AnyVoice]) -> AnyVoice:
    """Who of ``voices`` reads a sentence, by their shares."""
    place = sum(voice.share for voice in voices) * number(text, "voice")
    for voice in voices:
        place -= voice.share
        if place < 0:
            return voice
    return voices[-1]


def read_aloud(
    chosen: Iterable[tuple[str, AnyVoice]], say: Callable[[str, AnyVoice], bytes], *, texts: str, synthesiser: str
) -> Iterator[Draft]:
    """Drafts of ``chosen`` sentences, in their order; ``say`` gives the audio file and is called by several threads.

    Ids begin with ``texts``, where the sentences are from.
    """
    lines = list(chosen)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool, Progress(len(lines), bar=True) as progress:
        for start in range(0, len(lines), _AT_ONCE):
            batch = lines[start : start + _AT_ONCE]
            for (text, voice), audio in zip(batch, pool.map(lambda item: say(*item), batch), strict=True):
                yield _draft(text, voice, audio, texts, synthesiser)
                progress.advance()


def _draft(text: str, voice: Voice, audio: bytes, texts: str, synthesiser: str) -> Draft:
    identity = clip_id(texts, voice.name, hashlib.sha256(spelling(text).encode()).hexdigest()[:12])
    return Draft(
        id=identity,
        audio=audio,
        split=part(spelling(text), _DEV_PERCENT, 0),
        kind="speech",
        origin=f"{synthesiser} {voice.name}",
        labels=captions.speech_labels(voice.gender),
        captions=captions.speech(identity, "sentence", language="en", gender=voice.gender),
        language="en",
        speaker=f"{synthesiser}-{voice.name}",
        gender=voice.gender,
        transcript=text,
    )


def wav(audio: np.ndarray, rate: int) -> bytes:
    """A WAV file of ``audio``, float32 of shape (samples,), brought to a peak of a half."""
    peak = max(float(np.abs(audio).max(initial=0.0)), 1e-3)
    file = io.BytesIO()
    soundfile.write(file, 0.5 / peak * audio, rate, format="WAV")
    return file.getvalue()

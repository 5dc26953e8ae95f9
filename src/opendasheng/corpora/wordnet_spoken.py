"""English sentences read by synthesisers: the examples of WordNet, by four voices of Flite and one of Hibari.

Real English speech with a transcript is scarce in packages and of few topics. The examples in WordNet's glosses are
46,000 short sentences and phrases of everyday words, free for any use. Each is read once, by a voice, at a pace and a
pitch that the hash of the sentence chooses.
"""

import hashlib
import importlib
import io
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile

from opendasheng.corpora import captions
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, part, spelling, table
from opendasheng.errors import CorpusError
from opendasheng.progress import Progress

_GLOSSES = tuple(f"usr/share/wordnet/data.{pos}" for pos in ("adj", "adv", "noun", "verb"))
_EXAMPLE = re.compile(r'"([^"]+)"')
_SENTENCE = re.compile(r"[A-Za-z][A-Za-z' ,.!?-]*")
_ACRONYM = re.compile(r"[A-Z]{2}")
_WORDS = range(2, 17)
_MAX_CHARACTERS = 90
_DEV_PERCENT = 1
_AT_ONCE = 64
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Voice:
    """A voice of a synthesiser; ``share_percent`` is how much of all sentences it reads, ``pitch_hz`` its mean where it
    can be set."""

    name: str
    gender: str
    share_percent: int = 0
    pitch_hz: float = 0.0


AnyVoice = TypeVar("AnyVoice", bound=Voice)
HIBARI = (Voice("heart", "female", 40),)
FLITE = (
    Voice("slt", "female", 20, 170.0),
    Voice("awb", "male", 17, 110.0),
    Voice("rms", "male", 17, 95.0),
    Voice("kal", "male", 6, 100.0),
)


def sentences(packages: Mapping[str, Package]) -> list[str]:
    """Examples of WordNet that can be read as they stand: words and plain punctuation, no acronyms, 2 to 16 words."""
    files = packages["wordnet-base"].read(lambda path: path in _GLOSSES)
    found: dict[str, str] = {}
    for content in files.values():
        for line in content.decode("latin-1").splitlines():
            for text in _EXAMPLE.findall(line.partition("|")[2]):
                if _can_be_read(text):
                    found.setdefault(spelling(text), text)
    for text in table("wordnet_spoken.toml")["left_out"]:
        found.pop(spelling(text), None)
    return [found[key] for key in sorted(found)]


def _can_be_read(text: str) -> bool:
    fits = len(text) <= _MAX_CHARACTERS and len(text.split()) in _WORDS
    return fits and bool(_SENTENCE.fullmatch(text)) and not _ACRONYM.search(text)


def number(text: str, what: str) -> float:
    """A number from 0 to below 1 that belongs to a sentence."""
    return int.from_bytes(hashlib.sha256(f"{what}|{text}".encode()).digest()[:4], "big") / 2**32


def _voice(text: str) -> Voice:
    place, chosen = 100 * number(text, "voice"), (*HIBARI, *FLITE)
    for voice in chosen:
        place -= voice.share_percent
        if place < 0:
            return voice
    return chosen[-1]


def _draft(text: str, voice: Voice, audio: bytes, synthesiser: str) -> Draft:
    identity = clip_id("wordnet", voice.name, hashlib.sha256(spelling(text).encode()).hexdigest()[:12])
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


def read_aloud(
    chosen: Iterable[tuple[str, AnyVoice]], say: Callable[[str, AnyVoice], bytes], synthesiser: str
) -> Iterator[Draft]:
    """Drafts of ``chosen`` sentences, in their order; ``say`` gives the audio file and is called by several threads."""
    texts = list(chosen)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool, Progress(len(texts), bar=True) as progress:
        for start in range(0, len(texts), _AT_ONCE):
            batch = texts[start : start + _AT_ONCE]
            for (text, voice), audio in zip(batch, pool.map(lambda item: say(*item), batch), strict=True):
                yield _draft(text, voice, audio, synthesiser)
                progress.advance()


def _share(packages: Mapping[str, Package], voices: Iterable[Voice]) -> Iterator[tuple[str, Voice]]:
    of_these = set(voices)
    return ((text, voice) for text in sentences(packages) if (voice := _voice(text)) in of_these)


def flite_drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """The sentences of Flite's four voices, at 0.85 to 1.25 of their pace and 0.85 to 1.2 of their pitch."""
    with tempfile.TemporaryDirectory(prefix="opendasheng-flite-") as name:
        folder = Path(name)
        for package in ("flite", "libflite1"):
            for path, content in packages[package].members(_is_flite):
                (folder / Path(path).name).write_bytes(content)
        for library in folder.glob("*.so.*"):  # the packages link the short name to the long one
            library.with_name(re.sub(r"\.so\..*", ".so.1", library.name)).write_bytes(library.read_bytes())
        (folder / "flite").chmod(0o755)
        yield from read_aloud(_share(packages, FLITE), lambda text, voice: _flite(folder, text, voice), "flite")


def _is_flite(path: str) -> bool:
    return path == "usr/bin/flite" or bool(re.fullmatch(r"usr/lib/[^/]+/lib\w+\.so\.[\d.]+", path))


def _flite(folder: Path, text: str, voice: Voice) -> bytes:
    stretch, pitch = 0.85 + 0.4 * number(text, "pace"), voice.pitch_hz * (0.85 + 0.35 * number(text, "pitch"))
    values = f"duration_stretch={stretch:.3f}", f"int_f0_target_mean={pitch:.1f}"
    settings = [argument for value in values for argument in ("--setf", value)]
    command = [str(folder / "flite"), "-voice", voice.name, *settings, "-t", text, "-o", "/dev/stdout"]
    try:
        done = subprocess.run(
            command,
            env={"LD_LIBRARY_PATH": str(folder)},
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CorpusError(f"flite cannot say {text!r}: {error}") from error
    if done.returncode:
        raise CorpusError(f"flite cannot say {text!r}: {done.stderr.decode(errors='replace').strip()[-200:]}")
    return done.stdout


def hibari_drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """The sentences of Hibari's voice, at 0.8 to 1.25 of its pace."""
    yield from read_aloud(_share(packages, HIBARI), _hibari, "hibari")


@cache
def _synthesiser() -> Any:
    try:
        return importlib.import_module("hibari").Hibari()
    except ImportError as error:
        raise CorpusError(
            f"wordnet-hibari needs its synthesiser: pip install 'opendasheng[synthesis]' ({error})"
        ) from error


def _hibari(text: str, voice: Voice) -> bytes:
    del voice  # there is one
    audio = np.asarray(_synthesiser()(text, speed=0.8 + 0.45 * number(text, "pace"), seed=0), dtype=np.float32)
    return wav(audio, importlib.import_module("hibari").SAMPLE_RATE)


def wav(audio: np.ndarray, rate: int) -> bytes:
    """A WAV file of ``audio``, float32 of shape (samples,), brought to a peak of a half."""
    peak = max(float(np.abs(audio).max(initial=0.0)), 1e-3)
    file = io.BytesIO()
    soundfile.write(file, 0.5 / peak * audio, rate, format="WAV")
    return file.getvalue()


RECIPES = (
    Recipe(
        name="wordnet-flite",
        packages=("libflite1", "flite", "wordnet-base"),
        licence="WordNet 3.0 (texts), CMU Flite (voices; BSD-like)",
        summary="English sentences read by four synthetic voices",
        drafts=flite_drafts,
        files=("wordnet_spoken.py", "wordnet_spoken.toml"),
    ),
    Recipe(
        name="wordnet-hibari",
        packages=("wordnet-base",),
        licence="WordNet 3.0 (texts), Apache-2.0 (voice)",
        summary="English sentences read by a synthetic voice",
        drafts=hibari_drafts,
        files=("wordnet_spoken.py", "wordnet_spoken.toml"),
        needs="hibari",
    ),
)

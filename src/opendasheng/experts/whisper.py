"""A Whisper that was converted for CTranslate2: speech to text.

faster-whisper runs it; our loader decodes the audio.
"""

import logging
import struct
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from opendasheng.audio import Waveform
from opendasheng.errors import CheckpointError, ConfigError

_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_NEEDED = ("model.bin", "config.json", "tokenizer.json")
_SIZES = {
    (384, 4): "tiny",
    (512, 6): "base",
    (768, 12): "small",
    (1024, 24): "medium",
    (1280, 32): "large",
    (1280, 4): "large-turbo",
}
# The decoder writes half of its 448 positions in one window, the rest is for a text before it.
_MAX_WINDOW_TOKENS = 224


class Transcript(NamedTuple):
    """What was said. ``language`` is that of the request or the one that was heard; ``was_cut`` says that a window
    ended because no more tokens fit."""

    text: str
    language: str
    was_cut: bool = False


class Whisper:
    """The model of a folder.

    Greedy: temperature 0, one beam, no second try, no voice activity detection, and no window sees the text of the one
    before. Clips longer than 30 s are heard in windows of at most 30 s, which faster-whisper ends where the model puts
    its time marks.
    """

    def __init__(self, folder: str | Path, *, device: str = "auto", dtype: str = "auto") -> None:
        """``dtype`` is float32, float16, bfloat16, int8, or auto: that of the file, where the device has it.

        Raises :class:`CheckpointError` for a folder that lacks a file or holds a damaged one, and :class:`ConfigError`
        for a device or dtype that it cannot run on, and where faster-whisper is not installed.
        """
        self.folder = Path(folder)
        _require_files(self.folder)
        place, _, index = device.partition(":")
        if place not in ("auto", "cpu", "cuda") or not (index.isdigit() or not index):
            raise ConfigError(f"{self.folder}: CTranslate2 runs on auto, cpu, cuda or cuda:N, not on {device}")
        try:
            import ctranslate2
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ConfigError(
                "Whisper needs the extra: pip install 'opendasheng[experts]' (it brings faster-whisper)"
            ) from error
        size = size_of(self.folder)
        ctranslate2.set_log_level(logging.ERROR)  # else it warns of each half that a CPU computes as a float
        try:
            self._model: Any = WhisperModel(
                str(self.folder),
                device=place,
                device_index=int(index or 0),
                compute_type="default" if dtype == "auto" else dtype,
                local_files_only=True,
            )
        except ValueError as error:  # CTranslate2's word for what a device cannot do
            raise ConfigError(f"{self.folder}: {_words(error)}; try another --dtype or --device") from error
        except Exception as error:  # each of the libraries has kinds of its own for a damaged file
            raise CheckpointError(
                f"{self.folder}: the model cannot be loaded ({_words(error)}); fetch it again"
            ) from error

        english = "" if self._model.model.is_multilingual else ".en"
        self.name = self.folder.resolve().name if size is None else f"{size}{english}"

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages that it writes; English alone for some models."""
        known = self._model.hf_tokenizer.token_to_id
        return tuple(code for code in self._model.supported_languages if known(f"<|{code}|>") is not None)

    def transcribe(self, audio: Waveform, language: str | None = None) -> Transcript:
        """The words of ``audio``, mono float32 ``(S,)`` at 16 kHz, of any length.

        ``language`` is one of :attr:`languages`; None leaves it to the model. Raises :class:`ConfigError` for others.
        """
        if language is not None and language not in self.languages:
            raise ConfigError(f"{self.folder}: it does not write {language!r}, but {', '.join(self.languages)}")
        segments, about = self._model.transcribe(
            audio,
            language=language,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=False,
            # What it writes is its answer; these would start a second try, or drop a window as silent.
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
        )
        texts, num_tokens = [], Counter[int]()  # of each window, by where it begins
        for segment in segments:
            texts.append(segment.text.strip())
            num_tokens[segment.seek] += len(segment.tokens)
        was_cut = any(count >= _MAX_WINDOW_TOKENS for count in num_tokens.values())
        return Transcript(" ".join(filter(None, texts)), str(about.language), was_cut)


def is_whisper(folder: Path) -> bool:
    """Whether the files of a folder are those of a Whisper for CTranslate2, whole or not.

    Its config.json has no ``model_type``, which is for the caller to see.
    """
    return folder.is_dir() and any((folder / name).is_file() for name in _VOCABULARIES)


def size_of(folder: Path) -> str | None:
    """Which of the published sizes it is ("tiny", "base" and so on), by the shapes in ``model.bin``.

    Raises :class:`CheckpointError` for a file that is cut short or is none of CTranslate2's.
    """
    path = folder / "model.bin"
    try:
        kind, shapes = _shapes(path)
    except (OSError, struct.error, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: it cannot be read as a model of CTranslate2; fetch it again") from error
    if kind != "WhisperSpec":
        raise CheckpointError(f"{path}: it holds a {kind or 'nameless model'}, not a Whisper")
    width = (*shapes.get("decoder/embeddings/weight", ()), 0, 0)[1]
    num_layers = len({name.split("/")[1] for name in shapes if name.startswith("decoder/layer_")} - {"layer_norm"})
    return _SIZES.get((width, num_layers))


def _shapes(path: Path) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Kind of model and shape of each tensor, from the headers alone: the tensors are skipped."""
    shapes = {}
    with path.open("rb") as file:

        def numbers(form: str) -> tuple[int, ...]:
            return struct.unpack(form, file.read(struct.calcsize(form)))

        def text() -> str:
            (length,) = numbers("<H")
            return file.read(length).rstrip(b"\0").decode()

        numbers("<I")  # version of the format
        kind = text()
        _, count = numbers("<II")  # revision of the kind, number of tensors
        for _ in range(count):
            name = text()
            (rank,) = numbers("<B")
            shapes[name] = numbers(f"<{rank}I")
            _, num_bytes = numbers("<BI")  # type, size
            file.seek(num_bytes, 1)
    return kind, shapes


def _require_files(folder: Path) -> None:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        missing.append(" or ".join(_VOCABULARIES))
    if missing:
        raise CheckpointError(
            f"{folder}: no {', '.join(missing)}, so this is no whole Whisper for CTranslate2; fetch it again, or "
            "convert one with ct2-transformers-converter --copy_files tokenizer.json"
        )


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]

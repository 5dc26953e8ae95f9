"""The prompts of the paper, read from ``prompts.toml``: one wording for the command line, training and evaluation."""

import tomllib
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Any

from opendasheng.errors import ConfigError


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The whole of ``prompts.toml``."""
    return tomllib.loads(files("opendasheng").joinpath("prompts.toml").read_text(encoding="utf-8"))


def styles(task: str) -> list[str]:
    """The names of a task's wordings: ``caption`` or ``tag``."""
    return list(table()[task]["styles"])


def styled(task: str, style: str | None = None) -> str:
    """The prompt of ``task`` (``caption`` or ``tag``) in a style, the task's default when None.

    Raises :class:`ConfigError` that lists the styles when there is none of that name.
    """
    entry = table()[task]
    style = style or entry["default"]
    if style not in entry["styles"]:
        raise ConfigError(f"no {task} style {style!r}; there are {', '.join(entry['styles'])}")
    return str(entry["styles"][style])


def transcribe(language: str | None = None) -> str:
    """The transcription prompt of a language, given as an ISO 639-1 code; English when None.

    Languages of the paper have their published wording, others its pattern. Raises :class:`ConfigError` for what
    cannot be a language code.
    """
    entry = table()["transcribe"]
    language = (language or entry["default"]).lower()
    if not (language.isascii() and language.isalpha() and 2 <= len(language) <= 3):
        raise ConfigError(f"language {language!r} is not an ISO 639 code such as en, zh or ru")
    return str(entry["published"].get(language) or entry["prompt"].format(language=language))


def translate() -> str:
    """The prompt for a translation of speech into English."""
    return str(table()["translate"]["prompt"])


def kind() -> str:
    """The prompt that asks whether a clip is speech, music or another sound."""
    return str(table()["kind"]["prompt"])


def with_context(prompt: str, context: str | Iterable[str] | None) -> str:
    """``prompt`` with names and terms to expect, where there are any."""
    terms = context if isinstance(context, str) or context is None else _joined(context)
    return str(table()["context"]["prompt"].format(prompt=prompt, context=terms)) if terms else prompt


def _joined(terms: Iterable[str]) -> str:
    try:
        return ", ".join(terms)
    except TypeError as error:
        raise ConfigError(f"context must be a text or a list of texts, not {terms!r}") from error


def conversation(prompt: str | None, *audio: Any, system: str | None = None) -> list[dict[str, Any]]:
    """Messages of one question about ``audio``: the text, then the clips, in the order of the released model card.

    Each clip is what the processor takes under ``"audio"``: an array at 16 kHz, a path or a URL. Training and
    answering both go through here, so that a model is asked as it was taught.
    """
    text = [{"type": "text", "text": prompt}] if prompt else []
    user = {"role": "user", "content": [*text, *({"type": "audio", "audio": clip} for clip in audio)]}
    return [*([{"role": "system", "content": system}] if system else []), user]

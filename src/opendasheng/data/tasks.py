"""What can be asked of a clip, and the right answer: clip -> examples of prompt and answer."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from opendasheng import prompts
from opendasheng.data.clip import Clip

TASKS = ("caption", "transcribe", "translate", "tag", "kind", "language", "gender", "ask")


@dataclass(frozen=True)
class Example:
    """One question about a clip and its answer; ``task`` is one of :data:`TASKS`, ``system`` the message before it."""

    task: str
    prompt: str
    answer: str
    system: str = ""


def examples(clip: Clip) -> list[Example]:
    """Every example that a clip's metadata supports, captions and transcripts first; prompts are the paper's."""
    found = [Example("caption", prompts.styled("caption"), caption) for caption in clip.captions]
    found += [Example("ask", question.prompt, question.answer, question.system) for question in clip.questions]
    if clip.kind == "speech":
        found += _about_speech(clip)
    elif clip.labels:
        found.append(Example("tag", prompts.styled("tag"), join_labels(clip.labels)))
    return [*found, Example("kind", prompts.kind(), clip.kind)] if clip.captions or clip.labels else found


def _about_speech(clip: Clip) -> list[Example]:
    found = []
    if clip.transcript and clip.language:
        found.append(Example("transcribe", prompts.transcribe(clip.language), clip.transcript))
    if clip.translation:
        found.append(Example("translate", prompts.translate(), clip.translation))
    if clip.language in language_names():
        found.append(Example("language", prompts.styled("tag", "language"), language_names()[clip.language]))
    if clip.gender:
        found.append(Example("gender", prompts.styled("tag", "gender"), clip.gender))
    found.append(Example("tag", prompts.styled("tag"), join_labels(clip.labels or ("speech",))))
    return found


def join_labels(labels: tuple[str, ...]) -> str:
    """Labels as the released model writes several: separated by ``"; "`` (the separator its scorer splits at)."""
    return "; ".join(labels)


def join_transcripts(texts: Iterable[str]) -> str:
    """What is said in clips that are heard one after the other."""
    return " ".join(text for text in texts if text)


def join_captions(foreground: str, background: str) -> str:
    """One caption of two clips heard together."""
    return f"{foreground.rstrip('.')}. In the background, {background[:1].lower()}{background[1:]}"


@lru_cache(maxsize=1)
def language_names() -> dict[str, str]:
    """English names by ISO 639-1 code."""
    return tomllib.loads(files("opendasheng.data").joinpath("languages.toml").read_text(encoding="utf-8"))

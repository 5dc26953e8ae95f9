"""A clip on its way to captions: where it is from, what experts report of it, and what becomes of it.

Every step takes records and gives records; between steps, and on disk, a record is one line of JSON
(:func:`json_schema`).
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from opendasheng.data.clip import MAX_ID_CHARACTERS, MAX_SECONDS
from opendasheng.errors import CurationError

Text = Annotated[str, StringConstraints(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Value = bool | int | float | str | tuple[str, ...]
"""What an expert says of one aspect: a number, a word or text, or several of them."""

DOMAINS = ("000", "00A", "0M0", "0MA", "S00", "S0A", "SM0", "SMA")
"""MECAT's: speech, music and sounds (audio) that are heard, 0 in the place of each that is not (SPEC 10.2)."""
QUESTION_CATEGORIES = (
    "direct_perception",
    "sound_characteristics",
    "quality_assessment",
    "environment_reasoning",
    "inference_judgement",
    "application_context",
)
DIFFICULTIES = ("basic", "intermediate", "advanced", "complex")
CATEGORIES = ("pure speech", "pure sound", "pure music", "mixed speech", "mixed music", "mixed sound")


class _Strict(BaseModel):
    """Unknown fields and numbers that are not finite are refused, and nothing is changed in place."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=False)


class Span(_Strict):
    """The stretch of its recording that a clip is."""

    start_seconds: Seconds
    end_seconds: Seconds

    @model_validator(mode="after")
    def _has_length(self) -> "Span":
        if not self.start_seconds < self.end_seconds:
            raise ValueError(f"a span from {self.start_seconds} to {self.end_seconds} s has no length")
        return self


class Event(_Strict):
    """Something that is heard for a while."""

    label: Text
    start_seconds: Seconds
    end_seconds: Seconds
    confidence: Share | None = None


class Findings(_Strict):
    """What one expert reports of a clip. ``version`` names the expert's code and weights: with another, the clip is
    heard anew. ``values`` are by aspect, such as ``tempo_bpm``; ``vector`` is for comparing, float16 as base64;
    ``error`` says why there are none."""

    version: Text
    values: Mapping[str, Value] = {}
    confidences: Mapping[str, Share] = {}
    events: tuple[Event, ...] = ()
    vector: str = ""
    error: str = ""


class Captions(_Strict):
    """MECAT's six captions of a clip (SPEC 10.2), and who made them. A data set may have the first two alone; the
    others are then empty."""

    maker: Text
    short: Text
    long: Text
    speech: str = ""
    music: str = ""
    sound: str = ""
    environment: str = ""


class Question(_Strict):
    """A question about a clip with its answer, by MECAT's categories and difficulties (SPEC 10.2)."""

    category: Literal[QUESTION_CATEGORIES]  # type: ignore[valid-type]
    difficulty: Literal[DIFFICULTIES]  # type: ignore[valid-type]
    question: Text
    answer: Text


class Writing(_Strict):
    """How a language model came to what it wrote of a clip, or why it did not: ``maker`` is model and prompt,
    ``rejected`` the reason of each attempt that was not taken, ``reasoning`` that of the one that was."""

    maker: Text
    rejected: tuple[str, ...] = ()
    reasoning: str = ""
    error: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Drop(_Strict):
    """Why a clip is not kept, and the step that says so."""

    step: Text
    reason: Text


class Record(_Strict):
    """All that is known of one clip.

    ``id`` is unique in a run and fits the name of a file; ``recording`` names what it is a part of, so that splits
    never cut one; ``origin`` is where its audio was found. ``captions`` are by who made them,
    ``writing`` by what was asked for: captions, questions.
    """

    id: Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9_-]{{1,{MAX_ID_CHARACTERS}}}$")]
    source: Text
    recording: Text
    licence: Text
    duration_seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)]
    origin: str = ""
    span: Span | None = None
    findings: dict[str, Findings] = {}
    scores: dict[str, float] = {}
    captions: dict[str, Captions] = {}
    questions: tuple[Question, ...] = ()
    writing: dict[str, Writing] = {}
    domain: Literal[DOMAINS] | None = None  # type: ignore[valid-type]
    category: Literal[CATEGORIES] | None = None  # type: ignore[valid-type]
    split: Literal["train", "test"] | None = None
    dropped: Drop | None = None

    def heard(self, expert: str, findings: Findings) -> "Record":
        """The same with what ``expert`` reports, in the place of what it did before."""
        return self.model_copy(update={"findings": {**self.findings, expert: findings}})

    def value(self, aspect: str) -> Value | None:
        """What the first expert that speaks of ``aspect`` says."""
        return next((found.values[aspect] for found in self.findings.values() if aspect in found.values), None)

    def confidence(self, aspect: str) -> float:
        """How sure the first expert that speaks of ``aspect`` is, from 0 to 1; 0 where it does not say."""
        return next((found.confidences[aspect] for found in self.findings.values() if aspect in found.confidences), 0.0)

    def events(self, expert: str) -> tuple[Event, ...]:
        """What ``expert`` has heard, and when; none where it has not heard the clip."""
        return self.findings[expert].events if expert in self.findings else ()

    def may_have(self, kind: str) -> bool:
        """Whether there is ``kind`` (speech, singing, music) in it as far as is known."""
        return self.value(f"has_{kind}") is not False

    def to_line(self) -> str:
        """One line of JSON, without what has its default."""
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def from_line(cls, line: str | bytes) -> "Record":
        """Of a line of JSON. Raises :class:`CurationError` with the field at fault."""
        return cls._checked(cls.model_validate_json, line)

    @classmethod
    def from_fields(cls, fields: object) -> "Record":
        """The same of what JSON reads from such a line."""
        return cls._checked(cls.model_validate, fields)

    @staticmethod
    def _checked(validate: Callable[[Any], "Record"], given: object) -> "Record":
        try:
            return validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise CurationError(f"no record: {where}: {first['msg']} ({str(first['input'])[:60]!r})") from error


def json_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of a record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Record.model_json_schema()}

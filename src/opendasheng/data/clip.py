"""One clip: a stretch of audio with everything its source says about it."""

import contextlib
import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from opendasheng.errors import CorpusError

SPLITS = ("train", "dev", "test")
KINDS = ("speech", "sound", "music")
GENDERS = ("female", "male")
MAX_SECONDS = 24 * 3600.0
MAX_ID_CHARACTERS = 95  # with .flac the 100 characters of a name in a tar

_LANGUAGE = re.compile(r"[a-z]{2}")
_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ID_CHARACTERS}}}")


class Question(NamedTuple):
    """What is asked about a clip, and the answer; ``system`` is the message before it, if any."""

    prompt: str
    answer: str
    system: str = ""


@dataclass(frozen=True)
class Clip:
    """What is known of one clip; the audio itself lies beside it in a shard.

    ``id`` is unique in a corpus and doubles as the member name in the shard, so it holds at most 95 letters, digits,
    ``_`` and ``-``. ``source`` is the package the audio came from, ``origin`` the path inside it. A duration is at most
    24 h, so that no number in an index makes a plan endless. ``language`` is ISO 639-1, ``captions`` are general
    English captions, any of which describes the clip; ``translation`` is the ``transcript`` in English; ``questions``
    are conversations about it.

    Raises:
        CorpusError: a field holds a value outside its range; the message names clip, field and value.
    """

    id: str
    source: str
    licence: str
    split: str
    kind: str
    duration_seconds: float
    language: str | None = None
    speaker: str | None = None
    gender: str | None = None
    transcript: str | None = None
    translation: str | None = None
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    origin: str = ""

    def __post_init__(self) -> None:
        for name, kind in _FIELD_TYPES.items():
            self._require(isinstance(getattr(self, name), kind), name)
        for name in ("labels", "captions"):
            self._require(all(isinstance(item, str) and item.strip() for item in getattr(self, name)), name)
        self._require(all(_is_question(item) for item in self.questions), "questions")
        self._require(bool(_ID.fullmatch(self.id)), "id")
        self._require(bool(self.source), "source")
        self._require(self.split in SPLITS, "split")
        self._require(self.kind in KINDS, "kind")
        self._require(0 < self.duration_seconds <= MAX_SECONDS, "duration_seconds")
        self._require(self.language is None or bool(_LANGUAGE.fullmatch(self.language)), "language")
        self._require(self.gender is None or self.gender in GENDERS, "gender")
        for name in ("transcript", "translation"):
            text = getattr(self, name)
            self._require(text is None or bool(text.strip()), name)

    def _require(self, condition: bool, field: str) -> None:
        if not condition:
            raise CorpusError(
                f"clip {self.id!r}: {field} cannot be {getattr(self, field)!r}; correct the source or its index"
            )

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types, in a fixed order."""
        fields = dataclasses.asdict(self)
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        return lists | {"questions": [question._asdict() for question in self.questions]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Clip":
        """The inverse of ``to_dict``.

        Raises:
            CorpusError: an unknown or missing key, or a value that does not fit its field.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - known)
        if unknown:
            raise CorpusError(f"clip {fields.get('id')!r}: unknown key {unknown[0]!r}; known keys are {sorted(known)}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        questions = values.get("questions")
        if isinstance(questions, tuple) and all(isinstance(item, dict) for item in questions):
            values["questions"] = tuple(_question(item) for item in questions)
        if type(values.get("duration_seconds")) is int:  # True is another
            with contextlib.suppress(OverflowError):  # refused by the clip as what it is
                values["duration_seconds"] = float(values["duration_seconds"])
        try:
            return cls(**values)
        except TypeError as error:
            raise CorpusError(
                f"clip {fields.get('id')!r}: {error}; the index is older or damaged, build it again"
            ) from error

    def to_json(self) -> str:
        """One line of JSON, the same bytes for the same clip."""
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Clip":
        """The inverse of ``to_json``.

        Raises:
            CorpusError: not JSON, not an object, or anything that ``from_dict`` refuses.
        """
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise CorpusError(f"clip metadata is not JSON ({error}): {text[:80]!r}") from error
        if not isinstance(fields, dict):
            raise CorpusError(f"clip metadata must be a JSON object, not {type(fields).__name__}: {text[:80]!r}")
        return cls.from_dict(fields)


def _question(fields: dict[str, Any]) -> Question | None:
    try:
        return Question(**fields)
    except TypeError:
        return None  # refused by the clip, which names itself


def _is_question(item: object) -> bool:
    return isinstance(item, Question) and all(isinstance(text, str) for text in item) and bool(item.answer.strip())


_FIELD_TYPES: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "source": str,
    "licence": str,
    "split": str,
    "kind": str,
    "duration_seconds": float,
    "language": (str, type(None)),
    "speaker": (str, type(None)),
    "gender": (str, type(None)),
    "transcript": (str, type(None)),
    "translation": (str, type(None)),
    "labels": tuple,
    "captions": tuple,
    "questions": tuple,
    "origin": str,
}

"""What a language model is asked to write of a clip: the form of an answer, what may be wrong with it, and its place in
a record.
"""

import json
from abc import abstractmethod
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from opendasheng.curate.categories import KINDS, NOTHING, named_kinds
from opendasheng.curate.evidence import evidence, tells_of_recording
from opendasheng.curate.grounding import wrong
from opendasheng.curate.record import QUESTION_CATEGORIES, Captions, Question, Record

PROMPTS_VERSION = 4
"""With another number, nothing that was asked before is taken from the disk."""
_MOST_WORDS = {"short": 20, "long": 90, "speech": 80, "music": 50, "sound": 50, "environment": 50}
_LEAST_CAPTION_WORDS = 2
_MOST_QUESTION_WORDS = _MOST_ANSWER_WORDS = 40
_NUM_QUESTIONS = 5
# With limits, of five categories a question each, the harder ones last.
_DIFFICULTIES = ("basic", "basic", "intermediate", "intermediate", "advanced")
_CHARACTERS_OF_A_WORD = 8  # with the space behind it


class Form(BaseModel):
    """An answer in JSON. ``name`` is that of its prompt file, and of what is told of it in a record."""

    model_config = ConfigDict(extra="forbid")
    name: ClassVar[str]

    @classmethod
    def prompt(cls, record: Record) -> str:
        """The prompt file with the evidence of a record."""
        return _template(cls.name).replace("{evidence}", evidence(record)).strip()

    @classmethod
    def response_format(cls, record: Record, *, bounded: bool = False) -> dict[str, Any]:
        """The schema for a record, as OpenAI's interface takes it; ``bounded`` also limits how long texts and lists
        are, and says of which category each question is, which keeps a small model from writing without end, and which
        not every server takes."""
        schema = cls.model_json_schema()
        if bounded:
            cls.bound(schema)
        cls.fit(schema, record)
        return {"type": "json_schema", "json_schema": {"name": cls.name, "schema": schema, "strict": True}}

    @classmethod
    @abstractmethod
    def bound(cls, schema: dict[str, Any]) -> None:
        """Put the limits into its JSON schema."""

    @classmethod
    def fit(cls, schema: dict[str, Any], record: Record) -> None:
        """Leave out of it what is not asked of this record."""

    @classmethod
    def read(cls, text: str) -> Self | str:
        """The answer that ``text`` holds, words around its braces left out, or what is wrong with it."""
        if not text:
            return "empty"
        try:
            return cls.model_validate(json.loads(text[text.find("{") : text.rfind("}") + 1]))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return f"no JSON of this form: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (ValueError, RecursionError):
            return "no JSON"

    @abstractmethod
    def wrong(self, record: Record) -> str:
        """Why it is not taken; empty where it is."""

    @abstractmethod
    def put(self, record: Record, maker: str) -> Record:
        """The record with it."""


class CaptionsForm(Form):
    """MECAT's six captions. Of a kind that no expert names nothing is asked, since a small model says of the others too
    that they are not there, if that is a way to answer; nor of a place or recording of which nothing is known, since it
    makes one up."""

    name = "captions"
    short: str
    long: str
    speech: str = NOTHING["speech"]
    music: str = NOTHING["music"]
    sound: str = NOTHING["sound"]
    environment: str = NOTHING["environment"]

    @classmethod
    def prompt(cls, record: Record) -> str:
        starts = tuple(f'- "{field}"' for field in _unasked(record))
        return "\n".join(line for line in super().prompt(record).split("\n") if not line.startswith(starts))

    @classmethod
    def fit(cls, schema: dict[str, Any], record: Record) -> None:
        for field in _unasked(record):
            del schema["properties"][field]
        schema["required"] = list(schema["properties"])

    @classmethod
    def bound(cls, schema: dict[str, Any]) -> None:
        for field, words in _MOST_WORDS.items():
            schema["properties"][field] |= {"minLength": 1, "maxLength": words * _CHARACTERS_OF_A_WORD}

    def wrong(self, record: Record) -> str:
        for kind in named_kinds(record):
            if getattr(self, kind).strip(" .").lower() == NOTHING[kind].strip(" .").lower():
                return f"{kind}: {NOTHING[kind]!r} where it is reported"
        reasons = ((field, wrong(text, record, _MOST_WORDS[field], _LEAST_CAPTION_WORDS)) for field, text in self)
        return next((f"{field}: {reason}" for field, reason in reasons if reason), "")

    def put(self, record: Record, maker: str) -> Record:
        captions = Captions(maker=maker, **{**dict(self), **{field: NOTHING[field] for field in _unasked(record)}})
        return record.model_copy(update={"captions": {**record.captions, "model": captions}})


class QuestionsForm(Form):
    """Five questions and answers."""

    name = "questions"
    questions: list[Question]

    @classmethod
    def bound(cls, schema: dict[str, Any]) -> None:
        asked = schema["$defs"]["Question"]["properties"]
        for field, words in (("question", _MOST_QUESTION_WORDS), ("answer", _MOST_ANSWER_WORDS)):
            asked[field] |= {"minLength": 1, "maxLength": words * _CHARACTERS_OF_A_WORD}
        each = [
            {
                "type": "object",
                "properties": {**asked, "category": {"const": category}, "difficulty": {"const": difficulty}},
                "required": ["category", "difficulty", "question", "answer"],
                "additionalProperties": False,
            }
            for category, difficulty in zip(QUESTION_CATEGORIES, _DIFFICULTIES, strict=False)
        ]
        bounds = {"prefixItems": each, "minItems": _NUM_QUESTIONS, "maxItems": _NUM_QUESTIONS}
        schema["properties"]["questions"] = {"type": "array", **bounds}
        schema.pop("$defs")

    def wrong(self, record: Record) -> str:
        if len(self.questions) != _NUM_QUESTIONS:
            return f"{len(self.questions)} questions in the place of {_NUM_QUESTIONS}"
        if len({asked.question.lower() for asked in self.questions}) < _NUM_QUESTIONS:
            return "a question is asked twice"
        for number, asked in enumerate(self.questions, 1):
            reason = wrong(asked.question, record, _MOST_QUESTION_WORDS)
            if reason:
                return f"question {number}: {reason}"
            reason = wrong(asked.answer, record, _MOST_ANSWER_WORDS)
            if reason:
                return f"answer {number}: {reason}"
        return ""

    def put(self, record: Record, maker: str) -> Record:
        del maker
        return record.model_copy(update={"questions": tuple(self.questions)})


def _unasked(record: Record) -> list[str]:
    """Fields of captions of which there is nothing to say."""
    named = named_kinds(record)
    unnamed = [kind for kind in KINDS if kind not in named]
    return unnamed if tells_of_recording(record) else [*unnamed, "environment"]


@cache
def _template(name: str) -> str:
    return files("opendasheng.curate").joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")


FORMS: tuple[type[Form], ...] = (CaptionsForm, QuestionsForm)

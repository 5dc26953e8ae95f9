"""Captions and questions by a language model behind an OpenAI-compatible server.

The model sees what experts report, as text. For an answer in another form or language, too long or not
grounded, it is asked again with the reason, a few times, and then the clip is left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendasheng.chat import ChatServers, Completion, Patience, UnreachableError, in_parallel
from opendasheng.curate.answers import Answers
from opendasheng.curate.config import WriterConfig
from opendasheng.curate.forms import FORMS, PROMPTS_VERSION, Form
from opendasheng.curate.record import Record, Writing
from opendasheng.errors import EndpointError

if TYPE_CHECKING:
    import httpx

Messages = list[dict[str, str]]

_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
# After so many clips in a row to which no server answered, the others are not asked.
_MOST_UNREACHABLE = 20


class Writer:
    """Asks a model for captions and questions. What it has answered lies in ``folder``, and is not asked again."""

    def __init__(self, config: WriterConfig, folder: Path, api_key: str | None = None) -> None:
        """Raises what :class:`ChatServers` does."""
        self._config = config
        patience = Patience(timeout_seconds=config.timeout_seconds, attempts=config.server_attempts)
        self._servers = ChatServers(
            config.endpoints, config.model or None, api_key=api_key, patience=patience, option="writer.model"
        )
        self._answers = Answers(folder)
        self._silent = 0
        self.maker = f"{self._servers.model}, prompts {PROMPTS_VERSION}"

    def write(self, records: Sequence[Record]) -> Iterator[tuple[int, Record]]:
        """Each record with what was written, as they come, with its place in ``records``.

        Where no server answers, its ``writing`` says so; after many of those in a row no more are asked.
        """
        with self._servers.client(self._config.concurrency) as client:

            def write(number: int, record: Record) -> Record:
                for form in FORMS:
                    record = self._written(client, number, record, form)
                return record

            yield from in_parallel(write, records, self._config.concurrency)

    def _written(self, client: "httpx.Client", number: int, record: Record, form: type[Form]) -> Record:
        """The record with ``form`` filled in, or with the reasons why it is not."""
        messages: Messages = [{"role": "user", "content": form.prompt(record)}]
        rejected: list[str] = []
        answers: list[Completion] = []
        reasoning, error = "", "no attempt was taken"
        for attempt in range(self._config.attempts):
            try:
                answers.append(self._answer(client, number, record.id, messages, self._options(form, record, attempt)))
            except EndpointError as failure:
                error = str(failure)[:300]
                break
            text, reasoning = _without_thought(answers[-1])
            filled = form.read(text) if answers[-1].finish == "stop" else "too long: it was cut off"
            reason = filled if isinstance(filled, str) else filled.wrong(record)
            if isinstance(filled, Form) and not reason:
                record, error = filled.put(record, self.maker), ""
                break
            rejected.append(reason)
            messages = [_asked_again(form.prompt(record), reason)]
        written = Writing(
            maker=self.maker,
            rejected=tuple(rejected),
            reasoning="" if error else reasoning,
            error=error,
            prompt_tokens=sum(answer.prompt_tokens for answer in answers),
            completion_tokens=sum(answer.completion_tokens for answer in answers),
        )
        return record.model_copy(update={"writing": {**record.writing, form.name: written}})

    def _options(self, form: type[Form], record: Record, attempt: int) -> dict[str, Any]:
        return {
            "max_tokens": self._config.max_tokens,
            "temperature": self._config.temperature if attempt else 0.0,
            "seed": attempt,
            "response_format": form.response_format(record, bounded=self._config.bounded),
        }

    def _answer(
        self, client: "httpx.Client", number: int, name: str, messages: Messages, options: Mapping[str, Any]
    ) -> Completion:
        """From the disk, or from a server. Raises :class:`EndpointError`."""
        body = {"model": self._servers.model, "messages": messages, **options, "prompts": PROMPTS_VERSION}
        answer = self._answers.find(body)
        if answer is not None:
            return answer
        if self._silent >= _MOST_UNREACHABLE:
            raise EndpointError(f"not asked: no server has answered {self._silent} times in a row")
        try:
            answer = self._servers.complete(client, name, messages, options, first=number)
        except UnreachableError:
            self._silent += 1
            raise
        self._silent = 0
        self._answers.keep(body, answer)
        return answer


def _without_thought(answer: Completion) -> tuple[str, str]:
    """What a model answers, and what it thought before, which some write into the answer."""
    thoughts = (match.strip() for match in _THOUGHT.findall(answer.text))
    return _THOUGHT.sub("", answer.text).strip(), "\n".join(filter(None, (answer.reasoning, *thoughts)))


def _asked_again(prompt: str, reason: str) -> dict[str, str]:
    """The prompt with what was wrong before. The answer itself stays away: a small model would repeat it."""
    return {"role": "user", "content": f"{prompt}\n\nAn answer before could not be taken: {reason}. Write another one."}

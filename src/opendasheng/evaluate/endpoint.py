"""Models behind an OpenAI-compatible server (vLLM, our own, others): asked over HTTP, many questions at a time."""

import base64
import io
import json
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import TIMEOUT_MAX, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from opendasheng.audio import load_audio
from opendasheng.errors import AudioError, ConfigError, DashengError, EvaluationError
from opendasheng.evaluate.answerers import (
    DISPLAY,
    MAX_SECONDS,
    Outcome,
    Reply,
    display_name,
    family_of,
    full_options,
    opened,
    seconds_limit,
)
from opendasheng.evaluate.asking import Question
from opendasheng.lengths import SAMPLE_RATE_HZ, seconds

if TYPE_CHECKING:
    import httpx

AUDIO_FORMS = ("input_audio", "audio_url")
_TRY_AGAIN = frozenset((408, 409, 425, 429))  # and all of 500 and above
_WRONG_PLACE = frozenset((401, 403, 404))  # another question would fare no better
_LONGEST_WAIT_SECONDS = 60.0
_MOST_BYTES = 64 * 2**20  # of one response; an answer has a few thousand
_MOST_SAID = 2000  # characters of a response that are looked at for a message
_MOST_NAMES = 20
# After so many questions in a row without an answer from any server a run ends, instead of failing every row.
_MOST_UNREACHABLE = 20


class _UnreachableError(EvaluationError):
    """No server would answer anything, as opposed to one that refused this question."""


class _TooLargeError(Exception):
    """A response that is longer than any answer."""


class _Response(NamedTuple):
    """What a server sent, whole."""

    status: int
    retry_after: str | None
    content: bytes


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, and how often it is asked again.

    ``timeout_seconds`` is for one request: so long a server may be silent, and what it has not sent whole by then is
    given up as soon as it sends more. ``attempts`` are made in all, the n-th wait being random up to
    ``backoff_seconds * 2**n``, or what the server asks for (Retry-After), at most a minute.
    """

    timeout_seconds: float = 300.0
    attempts: int = 6
    backoff_seconds: float = 1.0

    @property
    def socket_timeout(self) -> float | None:
        """``timeout_seconds`` as sockets take it: None where they could not count so far."""
        return self.timeout_seconds if self.timeout_seconds <= TIMEOUT_MAX else None

    def wait_seconds(self, attempt: int, asked: str | None) -> float:
        """Seconds to wait after attempt ``attempt`` (from 0)."""
        try:
            least = max(0.0, float(asked or 0))
        except ValueError:  # a date
            least = 0.0
        drawn = random.uniform(0, self.backoff_seconds * 2**attempt)
        return min(max(drawn, least), _LONGEST_WAIT_SECONDS)


class EndpointAnswerer:
    """A model that servers offer under ``/v1/chat/completions``; several are asked in turn."""

    def __init__(
        self,
        urls: Sequence[str],
        model: str | None = None,
        *,
        family: str | None = None,
        api_key: str | None = None,
        concurrency: int = 8,
        patience: Patience | None = None,
        audio_form: str = "input_audio",
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """``model`` is the name that the servers give it; None takes the only one that the first server has.

        ``family`` says whose prompts are asked, where the name does not tell. ``concurrency`` questions are under way
        at each server. Raises :class:`EvaluationError` for a server that cannot be asked what it offers, and
        :class:`ConfigError` for options that there are not.
        """
        if audio_form not in AUDIO_FORMS:
            raise ConfigError(f"audio_form is {audio_form!r}; it is {' or '.join(AUDIO_FORMS)}")
        self._patience = patience or Patience()
        self._bases = [base_url(url) for url in urls]
        self._headers = _authorization(api_key)
        self._concurrency = concurrency * len(self._bases)
        self._form = audio_form
        self._limit = seconds_limit(max_seconds)
        self._model = _writable(model or self._only_model())
        found = family or family_of(self._model)
        if found is None:
            raise ConfigError(
                f"{self._model}: its name does not tell whose prompts it knows; say --prompts {'|'.join(DISPLAY)}"
            )
        self.family = found
        self.model_name = display_name(self._model, family_of(self._model) or found)
        self.fingerprint = f"endpoint {self._model}"

    def generation(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent; options at their default that OpenAI's interface lacks are left out."""
        full = full_options(options)
        sent = {"max_tokens": full["max_new_tokens"], "temperature": full["temperature"]}
        extra = {name: full[name] for name in ("top_p", "seed", "top_k") if full[name] is not None}
        penalty = {"repetition_penalty": full["repetition_penalty"]} if full["repetition_penalty"] != 1.0 else {}
        return sent | extra | penalty

    def answers(self, questions: Iterable[Question], generation: Mapping[str, Any]) -> Iterator[tuple[int, Outcome]]:
        """See :class:`Answerer`. Raises :class:`EvaluationError` once no server has answered for a while."""
        import httpx

        silent = 0
        limits = httpx.Limits(max_connections=self._concurrency)
        with httpx.Client(timeout=self._patience.socket_timeout, headers=self._headers, limits=limits) as client:

            def ask(number: int, question: Question) -> Outcome:
                return self._ask(client, number, question, generation)

            for number, outcome in _in_parallel(ask, questions, self._concurrency):
                silent = silent + 1 if isinstance(outcome, _UnreachableError) else 0
                if silent >= max(_MOST_UNREACHABLE, 2 * self._concurrency):
                    raise EvaluationError(f"{silent} questions in a row got no answer; the last: {outcome}")
                yield number, outcome

    def _ask(self, client: "httpx.Client", number: int, question: Question, generation: Mapping[str, Any]) -> Outcome:
        """One question, asked until a server answers or patience ends."""
        try:
            audio = self._audio(question)
        except DashengError as error:
            return error
        body = {"model": self._model, "messages": self._messages(question, audio), **generation}
        failure = "it was not asked"
        for attempt in range(self._patience.attempts):
            base = self._bases[(number + attempt) % len(self._bases)]
            asked, last = None, attempt + 1 == self._patience.attempts
            response, failure = _fetched(client, "POST", f"{base}/chat/completions", body)
            if response is not None and response.status == 200:
                reply, failure = _reply(response, seconds(len(audio)))
                if reply is not None:
                    return reply
            elif response is not None:
                asked = response.retry_after
                if response.status < 500 and response.status not in _TRY_AGAIN:
                    kind = _UnreachableError if response.status in _WRONG_PLACE else EvaluationError
                    return kind(f"{question.name}: {base}: {failure}")
            if not last:
                time.sleep(self._patience.wait_seconds(attempt, asked))
        return _UnreachableError(f"{question.name}: {self._bases[0]}: {failure} ({self._patience.attempts} attempts)")

    def _audio(self, question: Question) -> NDArray[np.float32]:
        clip = opened(question)
        if isinstance(clip, DashengError):
            raise clip
        source, rate_hz = clip if isinstance(clip, tuple) else (clip, None)
        try:
            return load_audio(source, rate_hz, max_seconds=self._limit)
        except AudioError as error:
            raise AudioError(f"{question.name}: {error}") from error

    def _messages(self, question: Question, audio: NDArray[np.float32]) -> list[dict[str, Any]]:
        data = base64.b64encode(wav(audio)).decode()
        if self._form == "input_audio":
            clip: dict[str, Any] = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        else:
            clip = {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{data}"}}
        system = [{"role": "system", "content": question.system}] if question.system else []
        return [*system, {"role": "user", "content": [{"type": "text", "text": question.prompt}, clip]}]

    def _only_model(self) -> str:
        import httpx

        url = f"{self._bases[0]}/models"
        try:
            with httpx.Client(timeout=self._patience.socket_timeout, headers=self._headers) as client:
                response, failure = _fetched(client, "GET", url)
            if response is None or response.status != 200:
                raise ValueError(failure)
            names = [str(entry["id"]) for entry in json.loads(response.content)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            words = _line(f"{type(error).__name__}: {error}")
            raise EvaluationError(
                f"{url}: it does not say which models there are ({words}); name one with --model"
            ) from error
        if len(names) != 1:
            there = _line(", ".join(names[:_MOST_NAMES])) or "no model"
            raise EvaluationError(f"{url}: it has {there}; name one with --model")
        return names[0]


def base_url(url: str) -> str:
    """The part of a server's address that ends in /v1; the ending may be left out, or more of the path given.

    Raises :class:`ConfigError` for what is no http address.
    """
    base = url.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    scheme, sign, host = base.partition("://")
    if scheme.lower() not in ("http", "https") or not sign or not host:
        raise ConfigError(f"endpoint {url!r} is no address such as http://localhost:8000/v1")
    return base if "/" in host else f"{base}/v1"


def wav(audio: NDArray[np.float32]) -> bytes:
    """float32 ``(S,)`` at 16 kHz as a WAV file: of 16 bits where these hold every sample exactly, else of floats.

    What was recorded at 16 kHz and 16 bits is then the same to the server as to our own engine, and so is the rest.
    """
    scaled = audio.astype(np.float64) * 32768.0
    exact = bool(
        np.all(scaled == np.rint(scaled)) and scaled.min(initial=0) >= -32768 and scaled.max(initial=0) <= 32767
    )
    buffer = io.BytesIO()
    samples = scaled.astype(np.int16) if exact else audio
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16" if exact else "FLOAT")
    return buffer.getvalue()


def _authorization(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    if not api_key.isascii() or not api_key.isprintable():
        raise ConfigError("the API key has characters that no header can hold; look at the variable of --api-key-env")
    return {"Authorization": f"Bearer {api_key}"}


def _fetched(
    client: "httpx.Client", method: str, url: str, body: Mapping[str, Any] | None = None
) -> tuple[_Response | None, str]:
    """The response, if there was one, and what is wrong with it."""
    import httpx

    limit = client.timeout.read or math.inf
    try:
        response = _received(client, method, url, body, time.monotonic() + limit)
    except httpx.TimeoutException as error:
        return None, f"no answer within {limit:g} s ({type(error).__name__})"
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # UnicodeError: a host with too long a name
        return None, _line(f"no connection ({type(error).__name__}: {error})")
    except _TooLargeError:
        return None, f"its response has more than {_MOST_BYTES} bytes, which no answer has"
    return response, "" if response.status == 200 else f"status {response.status}: {_said(response)}"


def _received(
    client: "httpx.Client", method: str, url: str, body: Mapping[str, Any] | None, deadline: float
) -> _Response:
    """A response in whole. The client's own timeout is for each part alone, of which there may be any number."""
    import httpx

    content = bytearray()
    with client.stream(method, url, json=body) as response:
        for part in response.iter_bytes():
            content += part
            if len(content) > _MOST_BYTES:
                raise _TooLargeError
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the body is not whole")
        return _Response(response.status_code, response.headers.get("retry-after"), bytes(content))


def _said(response: _Response) -> str:
    """What a server says of its refusal, in one line."""
    try:
        body = json.loads(response.content)
        error = body.get("error", body)
        words = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError, RecursionError):
        words = response.content[:_MOST_SAID].decode("utf-8", "replace")
    return _line(words) or "no reason given"


def _reply(response: _Response, duration_seconds: float) -> tuple[Reply | None, str]:
    """The answer that a response holds, or what it holds instead."""
    try:
        [choice] = json.loads(response.content)["choices"]
        text, reason = choice["message"]["content"], choice.get("finish_reason")
        if not isinstance(text, str):
            raise TypeError(f"content is {text!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return None, f"no chat completion ({_line(f'{type(error).__name__}: {error}')}): {_said(response)[:80]}"
    return Reply(_writable(text).strip(), duration_seconds, "length" if reason == "length" else "stop"), ""


def _line(words: str) -> str:
    """The beginning of a text in one line, for a message."""
    return _writable(" ".join(words[:_MOST_SAID].split())[:200])


def _writable(text: str) -> str:
    """A text without halves of characters, which JSON can spell and no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _in_parallel(
    ask: Callable[[int, Question], Outcome], questions: Iterable[Question], most: int
) -> Iterator[tuple[int, Outcome]]:
    """Answers as they come; at most ``most`` questions are drawn and not answered.

    The threads are daemons, so that a server that hangs does not hold up the end of an interrupted program.
    """
    waiting: SimpleQueue[tuple[int, Question] | None] = SimpleQueue()
    done: SimpleQueue[tuple[int, Outcome | BaseException]] = SimpleQueue()

    def work() -> None:
        while (item := waiting.get()) is not None:
            try:
                done.put((item[0], ask(*item)))
            except BaseException as error:  # raised again where the answers are taken
                done.put((item[0], error))

    def answered() -> tuple[int, Outcome]:
        number, outcome = done.get()
        if isinstance(outcome, BaseException) and not isinstance(outcome, DashengError):
            raise outcome
        return number, outcome

    threads = [Thread(target=work, name=f"endpoint-{place}", daemon=True) for place in range(most)]
    under_way = 0
    try:
        for thread in threads:
            thread.start()
        for number, question in enumerate(questions):
            waiting.put((number, question))
            under_way += 1
            if under_way == most:
                yield answered()
                under_way -= 1
        for _ in range(under_way):
            yield answered()
    finally:
        for _ in threads:
            waiting.put(None)

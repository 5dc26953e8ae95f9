"""Servers that speak OpenAI's chat completions (vLLM, llama.cpp, our own, others), asked over HTTP and asked again."""

import json
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import TIMEOUT_MAX, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from opendasheng.errors import ConfigError, EndpointError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
R = TypeVar("R")

_TRY_AGAIN = frozenset((408, 409, 425, 429))  # and all of 500 and above
_WRONG_PLACE = frozenset((401, 403, 404))  # another question would fare no better
_LONGEST_WAIT_SECONDS = 60.0
_MOST_BYTES = 64 * 2**20  # of one response; an answer has a few thousand
_MOST_SAID = 2000  # characters of a response that are looked at for a message
_MOST_NAMES = 20


class UnreachableError(EndpointError):
    """No server would answer anything, as opposed to one that refused this question."""


class _TooLargeError(Exception):
    """A response that is longer than any answer."""


class _Response(NamedTuple):
    """What a server sent, whole."""

    status: int
    retry_after: str | None
    content: bytes


class Completion(NamedTuple):
    """An answer. ``finish`` is "length" where it was cut off, else "stop"; ``reasoning`` is what a server keeps apart
    from it; tokens are as the server counts them, 0 where it does not say."""

    text: str
    finish: str
    reasoning: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


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


class ChatServers:
    """A model that servers offer under ``/v1/chat/completions``; several are asked in turn."""

    def __init__(
        self,
        urls: Sequence[str],
        model: str | None = None,
        *,
        api_key: str | None = None,
        patience: Patience | None = None,
        option: str = "--model",
    ) -> None:
        """``model`` is the name that the servers give it; None takes the only one that the first server has, and
        where that is not to be had, ``option`` is what a user names one with.

        Raises :class:`EndpointError` for a server that cannot be asked what it offers, and :class:`ConfigError` for an
        address or a key that is none.
        """
        self._patience = patience or Patience()
        self.bases = [base_url(url) for url in urls]
        self._headers = _authorization(api_key)
        self.model = _writable(model or self._only_model(option))

    def client(self, most_connections: int) -> "httpx.Client":
        """Connections for :meth:`complete`, to be used in a ``with`` statement, by several threads."""
        import httpx

        limits = httpx.Limits(max_connections=most_connections)
        return httpx.Client(timeout=self._patience.socket_timeout, headers=self._headers, limits=limits)

    def complete(
        self,
        client: "httpx.Client",
        name: str,
        messages: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        *,
        first: int = 0,
    ) -> Completion:
        """The answer to ``messages``, asked until a server gives one or patience ends; ``options`` are sent beside
        them, and ``first`` says which server is asked first.

        Raises :class:`EndpointError`, which begins with ``name``, for a refusal, and :class:`UnreachableError` where no
        server would answer.
        """
        body = {"model": self.model, "messages": messages, **options}
        failure = "it was not asked"
        for attempt in range(self._patience.attempts):
            base = self.bases[(first + attempt) % len(self.bases)]
            asked, last = None, attempt + 1 == self._patience.attempts
            response, failure = _fetched(client, "POST", f"{base}/chat/completions", body)
            if response is not None and response.status == 200:
                completion, failure = _completion(response)
                if completion is not None:
                    return completion
            elif response is not None:
                asked = response.retry_after
                if response.status < 500 and response.status not in _TRY_AGAIN:
                    kind = UnreachableError if response.status in _WRONG_PLACE else EndpointError
                    raise kind(f"{name}: {base}: {failure}")
            if not last:
                time.sleep(self._patience.wait_seconds(attempt, asked))
        raise UnreachableError(f"{name}: {self.bases[0]}: {failure} ({self._patience.attempts} attempts)")

    def _only_model(self, option: str) -> str:
        url = f"{self.bases[0]}/models"
        try:
            with self.client(1) as client:
                response, failure = _fetched(client, "GET", url)
            if response is None or response.status != 200:
                raise ValueError(failure)
            names = [str(entry["id"]) for entry in json.loads(response.content)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            words = _line(f"{type(error).__name__}: {error}")
            raise EndpointError(
                f"{url}: it does not say which models there are ({words}); name one with {option}"
            ) from error
        if len(names) != 1:
            there = _line(", ".join(names[:_MOST_NAMES])) or "no model"
            raise EndpointError(f"{url}: it has {there}; name one with {option}")
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


def _completion(response: _Response) -> tuple[Completion | None, str]:
    """The answer that a response holds, or what it holds instead."""
    try:
        body = json.loads(response.content)
        [choice] = body["choices"]
        message, finish = choice["message"], choice.get("finish_reason")
        text = message["content"]
        if not isinstance(text, str):
            raise TypeError(f"content is {text!r}")
        reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        usage = body.get("usage") or {}
        tokens = [usage.get(kind) for kind in ("prompt_tokens", "completion_tokens")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return None, f"no chat completion ({_line(f'{type(error).__name__}: {error}')}): {_said(response)[:80]}"
    return Completion(
        _writable(text).strip(),
        "length" if finish == "length" else "stop",
        _writable(reasoning).strip() if isinstance(reasoning, str) else "",
        *(count if isinstance(count, int) and count > 0 else 0 for count in tokens),
    ), ""


def _line(words: str) -> str:
    """The beginning of a text in one line, for a message."""
    return _writable(" ".join(words[:_MOST_SAID].split())[:200])


def _writable(text: str) -> str:
    """A text without halves of characters, which JSON can spell and no file can hold."""
    return text.encode("utf-8", "replace").decode()


class _Raised(NamedTuple):
    error: BaseException


def in_parallel(ask: Callable[[int, T], R], questions: Iterable[T], most: int) -> Iterator[tuple[int, R]]:
    """Answers of ``ask`` with the number of the question, as they come; at most ``most`` questions are drawn and not
    answered. What ``ask`` raises is raised here.

    The threads are daemons, so that a server that hangs does not hold up the end of an interrupted program.
    """
    waiting: SimpleQueue[tuple[int, T] | None] = SimpleQueue()
    done: SimpleQueue[tuple[int, R | _Raised]] = SimpleQueue()

    def work() -> None:
        while (item := waiting.get()) is not None:
            try:
                done.put((item[0], ask(*item)))
            except BaseException as error:  # raised again where the answers are taken
                done.put((item[0], _Raised(error)))

    def answered() -> tuple[int, R]:
        number, outcome = done.get()
        if isinstance(outcome, _Raised):
            raise outcome.error
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

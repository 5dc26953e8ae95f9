"""Chat completions of text. What servers may do wrong is in evaluate/test_endpoint.py, where clips are asked about."""

from collections.abc import Callable

import pytest
from chat_servers import Server

from opendasheng.chat import ChatServers, Completion, Patience, UnreachableError, in_parallel
from opendasheng.errors import EndpointError

QUICK = Patience(timeout_seconds=10, attempts=2, backoff_seconds=0.01)


def ask(server: Server, text: str, first: int = 0) -> Completion:
    servers = ChatServers([server.url], "m", patience=QUICK)
    with servers.client(1) as client:
        return servers.complete(client, "one", [{"role": "user", "content": text}], {"max_tokens": 9}, first=first)


def test_reasoning_is_kept_apart_and_tokens_are_counted(serve: Callable[..., Server]) -> None:
    server = serve("think", "length")
    assert ask(server, "Hello.") == Completion("Hello.", "stop", "I wonder.", 7, 6)
    assert ask(server, "Hello.") == Completion("Hello.", "length", "", 0, 0)
    assert server.requests[0]["body"] == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello."}],
        "max_tokens": 9,
    }


def test_a_refusal_is_told_at_once_and_silence_after_all_attempts(serve: Callable[..., Server]) -> None:
    server = serve("400", "500", "garbage", "404")
    with pytest.raises(EndpointError, match=r"one: .*that is a 400") as refused:
        ask(server, "a")
    assert not isinstance(refused.value, UnreachableError)
    with pytest.raises(UnreachableError, match=r"no chat completion .*\(2 attempts\)"):
        ask(server, "b")
    with pytest.raises(UnreachableError, match="that is a 404"):
        ask(server, "c")
    assert len(server.requests) == 4


def test_what_is_asked_in_parallel_comes_with_its_number_and_an_error_ends_it() -> None:
    assert sorted(in_parallel(lambda number, word: (number, word), "abcdef", 3)) == [
        (n, (n, word)) for n, word in enumerate("abcdef")
    ]

    def fails(number: int, word: str) -> str:
        raise KeyError(word)

    with pytest.raises(KeyError):
        list(in_parallel(fails, "ab", 2))

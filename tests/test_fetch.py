"""URLs against a real server in a thread: what arrives, and every way in which it does not."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sounds import encoded, refused

from opendasheng import fetch
from opendasheng.audio import load_audio


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/clip.flac"):
            self.answer(200, encoded("FLAC", "PCM_16"))
        elif self.path == "/page":
            self.answer(200, b"<html>not audio</html>")
        elif self.path == "/hop":
            self.answer(302, b"", ("Location", "/clip.flac"))
        elif self.path == "/loop":
            self.answer(302, b"", ("Location", "/loop"))
        elif self.path == "/elsewhere":
            self.answer(302, b"", ("Location", "file:///etc/hostname"))
        elif self.path == "/slow":
            threading.Event().wait(1.0)
        elif self.path == "/half":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"RIFF")
        else:
            self.answer(404, b"")

    def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in (
        "HF_HUB_OFFLINE",
        "OPENDASHENG_OFFLINE",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_url_is_fetched_and_redirects_are_followed(server: str) -> None:
    expected = load_audio(encoded("FLAC", "PCM_16"))
    np.testing.assert_array_equal(load_audio(f"{server}/clip.flac?token=secret"), expected)
    np.testing.assert_array_equal(load_audio(f"{server}/hop"), expected)


def test_urls_that_give_no_audio(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(f"{server}/gone", "404")
    refused(f"{server}/page", "audio")
    refused(f"{server}/loop", "edirect")
    refused(f"{server}/elsewhere", "fetched")
    refused(f"{server}/half", "fetched")
    refused("http://127.0.0.1:1/clip.wav", "fetched")
    refused("http://no-such-host.invalid/clip.wav", "fetched")
    refused("http://[broken/clip.wav")
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", 0.1)
    refused(f"{server}/slow", "0.1 s")


def test_a_url_with_too_much_behind_it(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 1000)
    refused(f"{server}/clip.flac", "1000 bytes")
    monkeypatch.undo()
    monkeypatch.setattr(fetch, "DEADLINE_SECONDS", -1.0)
    refused(f"{server}/clip.flac", "takes longer")


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "OPENDASHENG_OFFLINE"])
def test_offline_means_no_request(server: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    refused(f"{server}/clip.flac", "offline")
    monkeypatch.setenv(variable, "0")
    assert len(load_audio(f"{server}/clip.flac")) == 16_000

"""A small OpenAI-compatible server for the tests, a process of its own: ``python chat_server.py FOLDER [ACTION ...]``.

It writes its port to FOLDER/port and each request to FOLDER/requests.jsonl. Requests take the actions in turn, and then
"ok": the answer tells the prompt and the length of the clip that came. An action in brackets is the answer itself.
"""

import base64
import io
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import soundfile

HANG_SECONDS = 30
DRIP_SECONDS = 0.1
DEEP = b"[" * 200_000


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, actions: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.actions = folder, actions
        self.lock = threading.Lock()
        self.under_way = self.most_under_way = 0

    def next_action(self, body: dict[str, Any], headers: dict[str, str]) -> str:
        with self.lock:
            action = self.actions.pop(0) if self.actions else "ok"
            seen = {
                "action": action,
                "body": body,
                "authorization": headers.get("Authorization"),
                "at": time.monotonic(),
            }
            with (self.folder / "requests.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({**seen, "under_way": self.under_way}) + "\n")
        return action


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        place = self.path.removesuffix("/v1/models")
        names = {
            "": ["org/MiDashengLM-7b"],
            "/half": ["midashenglm \ud800"],
            "/many": [f"model {n}" for n in range(999)],
        }
        if place == "/deep":
            self.send(200, DEEP)
        elif place == "/gone":
            self.answer(404, {"error": "no such page"})
        elif place == "/drip":
            self.drip()
        else:
            self.answer(200, {"data": [{"id": name} for name in names.get(place, [])]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.under_way += 1
        try:
            self.act(self.server.next_action(body, dict(self.headers)), body)
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def act(self, action: str, body: dict[str, Any]) -> None:
        if self.path != "/v1/chat/completions":
            self.answer(404, {"error": {"message": f"no {self.path}"}})
        elif action == "hang":
            time.sleep(HANG_SECONDS)
        elif action == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif action == "garbage":
            self.send(200, b"<html>this is no chat</html>")
        elif action in ("deep", "deep-400"):
            self.send(400 if action == "deep-400" else 200, DEEP)
        elif action == "half-400":
            self.answer(400, {"error": {"message": "bad \ud800 thing"}})
        elif action == "flood":
            self.send(200, b" " * (65 * 2**20))
        elif action == "drip":
            self.drip()
        elif action == "empty":
            self.answer(200, {"choices": []})
        elif action.startswith("429-after-"):
            self.answer(429, {"error": {"message": "slow down"}}, {"Retry-After": action.removeprefix("429-after-")})
        elif action.isdigit():
            self.answer(int(action), {"error": {"message": f"that is a {action}"}})
        else:
            time.sleep(0.02)
            text, reason = said(body), "length" if action == "length" else "stop"
            text = "\ud83d alone" if action == "half" else action if action.startswith(("{", "<")) else text
            message = {"content": text, **({"reasoning_content": "I wonder. "} if action == "think" else {})}
            usage = {"prompt_tokens": 7, "completion_tokens": len(text)} if action == "think" else None
            self.answer(200, {"choices": [{"message": message, "finish_reason": reason}], "usage": usage})

    def drip(self) -> None:
        """A blank now and then, which keeps every reader waiting."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for _ in range(int(HANG_SECONDS / DRIP_SECONDS)):
            try:
                self.wfile.write(b" ")
            except OSError:  # the client has left
                return
            time.sleep(DRIP_SECONDS)

    def answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(body).encode(), headers)

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def said(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    text, audio = content
    form = audio["type"]
    data = audio[form]["data"] if form == "input_audio" else audio[form]["url"].removeprefix("data:audio/wav;base64,")
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(data, validate=True)), dtype="float32")
    return f"{text['text']} {len(samples)} at {rate_hz}"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    server = Server(folder, sys.argv[2:])
    (folder / "port.tmp").write_text(str(server.server_address[1]))
    (folder / "port.tmp").replace(folder / "port")
    server.serve_forever()

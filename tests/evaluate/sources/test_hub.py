"""Data sets of the hub, here one on this machine: fetched once, read as they are."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

from small_tasks import encoded, members, write_tar


class FakeHub(http.server.BaseHTTPRequestHandler):
    """The part of the hub's protocol that fetching files of the data set ``owner/shards`` needs."""

    files: ClassVar[dict[str, bytes]] = {}
    fetched: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        about = {"id": "owner/shards", "sha": "a" * 40, "siblings": []}
        tree = [{"type": "file", "path": name, "size": len(body), "oid": "b" * 40} for name, body in self.files.items()]
        if path.startswith("/api/datasets/owner/shards/tree/"):
            self.answer(json.dumps(tree).encode())
        elif path.startswith("/api/datasets/owner/shards"):
            self.answer(json.dumps(about).encode())
        elif path.startswith("/datasets/owner/shards/resolve/"):
            name = path.split("/", 6)[6]
            if self.command == "GET":
                self.fetched.append(name)
            digest = hashlib.sha256(self.files[name]).hexdigest()
            self.answer(self.files[name], ("ETag", f'"{digest}"'), ("X-Repo-Commit", "a" * 40))
        else:
            self.answer(b"{}", status=404)

    def answer(self, body: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


HUB_SCRIPT = """
from small_tasks import a_task
from opendasheng.evaluate.datasets import TaskData
task = a_task(dataset={"loader": "mecat", "source": "owner/shards", "data_dir": "data", "where": {"kind": ["odd"]}})
for one in TaskData(task).examples():
    print(one.id, one.fields["text"], len(one.audio.open()))
"""


def test_tars_of_the_hub_are_fetched_once_and_read_as_they_are(tmp_path: Path) -> None:
    """No package that decodes audio is needed, and what another split has stays there."""
    for name in ("test-0", "train-0"):
        path = write_tar(tmp_path / f"{name}.tar", members())
        FakeHub.files[f"data/{name}.tar"] = path.read_bytes()
    FakeHub.files["other/test-0.tar"] = FakeHub.files["README.md"] = b"else"

    def read(endpoint: str, **more: str) -> list[str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        environment = {**plain, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": endpoint, **more}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        command = [sys.executable, "-c", HUB_SCRIPT]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = read(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert found == [f"{number} text {number} {len(encoded(number))}" for number in (1, 3)]
    assert FakeHub.fetched == ["data/test-0.tar"]
    assert read("http://127.0.0.1:9", HF_HUB_OFFLINE="1") == found

"""Names of models become folders: bundled, local, or fetched from a hub, here one on this machine."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from opendasheng import hub
from opendasheng.errors import CheckpointError

COMMIT = "a" * 40
FILES = {
    "config.json": b'{"model_type": "midashenglm"}',
    "model.safetensors": bytes(1000),
    "chat_template.jinja": b"{{ messages }}",
    "tokenizer.json": b"{}",
    "merges.txt": b"a b\n",
    "pytorch_model.bin": b"a pickle",
    "modeling_midashenglm.py": b"raise AssertionError('remote code was run')",
}


class FakeHub(http.server.BaseHTTPRequestHandler):
    """The part of the hub's protocol that a download needs, for the one model ``owner/model`` at one commit."""

    fetched: list[str] = []  # noqa: RUF012

    def do_HEAD(self) -> None:
        self.reply()

    def do_GET(self) -> None:
        self.reply()

    def reply(self) -> None:
        path = self.path.partition("?")[0]
        if "owner/closed" in path:
            return self.answer(403, b"", ("X-Error-Code", "GatedRepo"))
        if "owner/model" not in path:
            return self.answer(404, b"", ("X-Error-Code", "RepoNotFound"))
        if path in (f"/api/models/owner/model/revision/{name}" for name in ("main", COMMIT)):
            siblings = [{"rfilename": name, "size": len(body)} for name, body in FILES.items()]
            return self.answer(200, json.dumps({"id": "owner/model", "sha": COMMIT, "siblings": siblings}).encode())
        if path.startswith("/api/models/owner/model/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in FILES.items()
            ]
            return self.answer(200, json.dumps(tree).encode())
        if path.startswith("/owner/model/resolve/") and (body := FILES.get(Path(path).name)) is not None:
            if self.command == "GET":
                self.fetched.append(Path(path).name)
            etag = hashlib.sha256(body).hexdigest()
            return self.answer(200, body, ("ETag", f'"{etag}"'), ("X-Repo-Commit", COMMIT))
        return self.answer(404, b"", ("X-Error-Code", "RevisionNotFound"))

    def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body))), ("Content-Type", "application/json")):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    FakeHub.fetched.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def resolve_elsewhere(script: str, home: Path, **variables: str) -> list[str]:
    """Run ``script`` in a process of its own, since the hub library reads its environment when it is imported."""
    prelude = """
from opendasheng.errors import CheckpointError
from opendasheng.hub import resolve
def show(*args, **options):
    try:
        print("folder", resolve(*args, **options))
    except CheckpointError as error:
        print(error)
"""
    plain = {
        k: v for k, v in os.environ.items() if not k.startswith(("HF_", "OPENDASHENG_")) and "proxy" not in k.lower()
    }
    environment = {**plain, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", prelude + script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_hub_id_is_fetched_once_without_pickles_and_code(endpoint: str, tmp_path: Path) -> None:
    script = f"show('owner/model'); show('owner/model', revision='{COMMIT}'); show('owner/model', offline=True)"
    first, pinned, offline = resolve_elsewhere(script, tmp_path, HF_ENDPOINT=endpoint)
    assert first == pinned == offline
    folder = Path(first.removeprefix("folder "))
    wanted = FILES.keys() - {"pytorch_model.bin", "modeling_midashenglm.py"}
    assert {path.name for path in folder.iterdir()} == wanted
    assert sorted(FakeHub.fetched) == sorted(wanted)
    script = "show('owner/model')"
    for variable in ("HF_HUB_OFFLINE", "OPENDASHENG_OFFLINE"):
        assert resolve_elsewhere(script, tmp_path, HF_ENDPOINT="http://127.0.0.1:9", **{variable: "1"}) == [first]


def test_what_the_hub_does_not_give_is_one_line(endpoint: str, tmp_path: Path) -> None:
    script = """
show("owner/other")
show("owner/closed")
show("owner/model", revision="v9")
show("owner/model", offline=True)
"""
    other, closed, revision, offline = resolve_elsewhere(script, tmp_path, HF_ENDPOINT=endpoint)
    assert other.startswith("owner/other: neither a folder here nor a model on the hub")
    assert closed.startswith("owner/closed: ")
    assert "HF_TOKEN" in closed
    assert revision.startswith("owner/model at v9: the model has no such revision")
    assert offline.startswith("owner/model: it is not in the cache")
    [dead] = resolve_elsewhere("show('owner/model')", tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert dead.startswith("owner/model: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no config.json"),
        ("{", "cannot be read"),
        ("[1]", "not a JSON object"),
        ('{"model_type": "qwen2"}', "'qwen2' model"),
        ('{"model_type": "midashenglm"}', r"no tokenizer.*tokenizer\.json"),
    ],
)
def test_folders_that_hold_no_model(content: str | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=words) as caught:
        hub.resolve(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_names_that_are_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "bundled_folder", lambda: tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="bundled model is not part of this installation"):
        hub.resolve("mini")
    for name in ("no-such-folder", "./a/b", "/no/such/folder", "", "a/b/c"):
        with pytest.raises(CheckpointError):
            hub.resolve(name)
    (tmp_path / "weights.safetensors").touch()
    with pytest.raises(CheckpointError, match="that is a file"):
        hub.resolve(tmp_path / "weights.safetensors")


def test_a_fingerprint_tells_weights_apart_but_not_folders(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    weights = bytes(range(256)) * 2**13  # 2 MiB: more than is read in whole
    for folder in (one, two):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_text("{}")
    assert hub.fingerprint(one) == hub.fingerprint(two)
    (two / "README.md").write_text("not part of the model")
    assert hub.fingerprint(one) == hub.fingerprint(two)
    (two / "model.safetensors").write_bytes(weights[:-1] + b"\0")
    assert hub.fingerprint(one) != hub.fingerprint(two)
    (two / "model.safetensors").write_bytes(weights)
    (two / "config.json").write_text("{ }")
    assert hub.fingerprint(one) != hub.fingerprint(two)


def test_what_cannot_name_a_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match="None"):
        hub.resolve(None)  # type: ignore[arg-type]

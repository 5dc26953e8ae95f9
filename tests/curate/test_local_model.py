"""A language model of a file, served by llama.cpp in a process of its own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from findings import heard, tagged
from tiny_decoders import a_decoder, a_gguf

from opendasheng.curate.config import CurationConfig, PoolConfig, WriterConfig
from opendasheng.curate.describe import describe
from opendasheng.curate.local_model import serving
from opendasheng.curate.pipeline import write_about
from opendasheng.errors import CheckpointError, ConfigError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    a_gguf(folder / "tiny.gguf", a_decoder(folder / "decoder"))
    return folder / "tiny.gguf"


def test_it_answers_while_the_body_runs_and_is_gone_after(tiny: Path) -> None:
    with serving(tiny, context_tokens=256, slots=1) as address:
        body = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 4}
        answer = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60)
        assert answer.status_code == 200
        assert answer.json()["usage"]["completion_tokens"] >= 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health", timeout=5)


def test_a_run_asks_a_model_of_a_file_and_tells_what_it_could_not_do(tiny: Path, tmp_path: Path) -> None:
    """A random model writes nothing of use, which is what the record then says."""
    writer = WriterConfig(gguf=str(tiny), context_tokens=2048, max_tokens=16, attempts=1, concurrency=1)
    config = CurationConfig(name="x", output=str(tmp_path), pools=(PoolConfig(("tags",)),), writer=writer)
    [record] = write_about(config, [describe(heard(tagged(("Dog", 0, 2))))])
    assert set(record.writing) == {"captions", "questions"}
    assert all(written.maker == "tiny, prompts 4" for written in record.writing.values())
    assert all(written.error for written in record.writing.values())


def test_it_does_not_outlive_who_started_it(tiny: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from opendasheng.curate.local_model import serving\n"
        "with serving(Path(sys.argv[1]), context_tokens=256, slots=1) as address:\n"
        "    print(address, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tiny)], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        address = starter.stdout.readline().strip()
        httpx.get(f"{address}/health", timeout=30)
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{address}/health", timeout=5)
        except httpx.HTTPError:
            return
        time.sleep(0.2)
    pytest.fail("the server is still there")


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.gguf"
    rubbish.write_bytes(b"GGUF" + b"x" * 100)
    for path, told in ((rubbish, "cannot load it"), (tmp_path / "nowhere.gguf", "no such file")):
        with pytest.raises(CheckpointError, match=told) as raised, serving(path, context_tokens=256, slots=1):
            pass
        assert path.name in str(raised.value)


def test_a_server_and_a_file_are_not_both_asked() -> None:
    with pytest.raises(ConfigError, match="endpoints and gguf are both set"):
        WriterConfig(endpoints=("http://a",), gguf="b.gguf")

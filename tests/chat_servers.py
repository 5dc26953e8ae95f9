"""Running ``chat_server.py``, and what it was asked."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from small_tasks import lines_of

PROGRAM = Path(__file__).with_name("chat_server.py")


class Server:
    """One in a process of its own, which takes ``actions`` in turn."""

    def __init__(self, folder: Path, *actions: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.process = subprocess.Popen([sys.executable, PROGRAM, folder, *actions])
        deadline = time.monotonic() + 60
        while not (folder / "port").exists():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{(folder / 'port').read_text()}"

    @property
    def requests(self) -> list[dict[str, Any]]:
        path = self.folder / "requests.jsonl"
        return lines_of(path) if path.exists() else []

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

"""Answers of a language model on disk, by what was asked: the same is never asked twice."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opendasheng.chat import Completion
from opendasheng.files import write_atomically

log = logging.getLogger(__name__)


class Answers:
    """One file for each request in ``folder``, named by the SHA-256 of its body."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, body: Mapping[str, Any]) -> Completion | None:
        """The answer to ``body``; none where it was not asked, or where the file is damaged, which is told."""
        path = self._path(body)
        try:
            return Completion(**json.loads(path.read_bytes())["answer"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("%s cannot be read (%s); it is asked again", path, error)
            return None

    def keep(self, body: Mapping[str, Any], answer: Completion) -> None:
        """Write it down, whole or not at all."""
        path = self._path(body)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"asked": body, "answer": answer._asdict()}, indent=1).encode())

    def _path(self, body: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        return self._folder / digest[:2] / f"{digest}.json"

"""A language model of a GGUF file, served on this machine over OpenAI's interface by a process of its own (llama.cpp).

``python -m opendasheng.curate.local_model FILE CONTEXT_TOKENS SLOTS`` is that process: it writes its address to
standard output, and ends with its standard input, so that it never outlives who started it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opendasheng.curate.expert import library
from opendasheng.errors import CheckpointError

_ENDS_WITHIN_SECONDS = 10.0
_MOST_SAID = 400  # characters of what llama.cpp says last, which is where it tells why a file is none


@contextmanager
def serving(path: Path, *, context_tokens: int, slots: int) -> Iterator[str]:
    """The address of a server of the model in ``path`` while the body runs; it has ``slots`` answers under way at a
    time, each of ``context_tokens`` with its prompt.

    Raises :class:`CheckpointError` for a file that is missing or no model, and :class:`ConfigError` where xllamacpp is
    not installed.
    """
    library("xllamacpp", "writer.gguf")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; writer.gguf names a model in the form of llama.cpp")
    command = [sys.executable, "-m", __name__, str(path), str(context_tokens), str(slots)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            address = process.stdout.readline().strip() if process.stdout else ""
            if not address:
                raise CheckpointError(f"{path}: llama.cpp cannot load it; fetch it again")
            yield address
        finally:
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(_ENDS_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _serve(path: str, context_tokens: int, slots: int) -> None:
    xllamacpp = library("xllamacpp", "writer.gguf")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = context_tokens * slots
    parameters.n_parallel = slots
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""Fixtures shared by all tests."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chat_servers import Server
    from transformers import PreTrainedTokenizerFast

    from opendasheng.engine import Engine
    from opendasheng.model.processing import MiDashengLMProcessor

# What an example takes says how busy the machine is.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Imported inside the fixtures: helpers load torch, which many tests do without.


@pytest.fixture
def tokenizer() -> "PreTrainedTokenizerFast":
    from helpers import tiny_tokenizer

    return tiny_tokenizer()


@pytest.fixture
def processor() -> "MiDashengLMProcessor":
    from helpers import tiny_processor

    return tiny_processor()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> "Path":
    """A random model of the tests' size in the released layout."""
    from helpers import tiny_folder

    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def engine(model_folder: "Path") -> "Engine":
    """The model of ``model_folder``, loaded."""
    from opendasheng import load

    return load(model_folder, device="cpu")


@pytest.fixture
def serve(tmp_path: "Path") -> "Iterator[Callable[..., Server]]":
    """Starts servers of chat completions, which end with the test."""
    from chat_servers import Server

    servers: list[Server] = []

    def start(*actions: str) -> Server:
        servers.append(Server(tmp_path / f"server-{len(servers)}", *actions))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()

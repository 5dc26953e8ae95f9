"""Configs of tiny models."""

from collections.abc import Callable
from typing import Any

import pytest

from opendasheng.model import MiDashengLMConfig


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., MiDashengLMConfig]:
    """Of a decoder of a kind, with changes to its text config."""

    def make(kind: str = "qwen2", **changes: Any) -> MiDashengLMConfig:
        text = {
            "model_type": kind,
            "vocab_size": 320,
            "hidden_size": 48,
            "intermediate_size": 80,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "tie_word_embeddings": kind == "qwen3",
            **({"head_dim": 16} if kind == "qwen3" else {}),
            **changes,
        }
        return MiDashengLMConfig({"embed_dim": 32, "depth": 3, "num_heads": 2}, text, audio_token_id=319)

    return make

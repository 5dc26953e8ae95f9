"""Fixtures shared by all tests."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from opendasheng.model.processing import MiDashengLMProcessor

# Imported inside the fixtures: helpers load torch, which many tests do without.


@pytest.fixture
def tokenizer() -> "PreTrainedTokenizerFast":
    from helpers import tiny_tokenizer

    return tiny_tokenizer()


@pytest.fixture
def processor() -> "MiDashengLMProcessor":
    from helpers import tiny_processor

    return tiny_processor()

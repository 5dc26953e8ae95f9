"""The prompts are the published ones, letter for letter."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng import prompts
from opendasheng.errors import ConfigError

PUBLISHED = Path(__file__).parents[2] / "shared" / "published" / "prompt.csv"


def test_every_wording_is_a_published_one():
    if not PUBLISHED.is_file():
        pytest.skip("the published prompt table is not beside this checkout")
    with PUBLISHED.open(encoding="utf-8") as file:
        published = {row["MiDashengLM"] for row in csv.DictReader(file)}
    ours = {prompts.styled(task, style) for task in ("caption", "tag") for style in prompts.styles(task)}
    ours |= {prompts.transcribe(code) for code in ("en", "zh", "id", "th", "vi")}
    asked = {text for text in published if not text.startswith("(Question")}
    assert ours == asked


def test_the_published_typo_of_vietnamese_is_kept():
    assert prompts.transcribe("vi") == "Transcribe the speech in to text <|vi|>"
    assert prompts.transcribe("ru") == "Transcribe the speech into text <|ru|>"
    assert prompts.transcribe() == prompts.transcribe("EN")


@given(
    st.text(max_size=8).filter(lambda text: not (text.isascii() and text.isalpha() and 2 <= len(text) <= 3) and text)
)
def test_what_is_no_language_is_refused(text):
    with pytest.raises(ConfigError, match="ISO 639"):
        prompts.transcribe(text)


def test_an_unknown_style_lists_the_known():
    with pytest.raises(ConfigError, match="short, long"):
        prompts.styled("caption", "poem")


def test_context_is_added_only_where_there_is_some():
    assert prompts.with_context("P.", None) == prompts.with_context("P.", "") == prompts.with_context("P.", []) == "P."
    assert "Asterisk, Allison" in prompts.with_context("P.", ["Asterisk", "Allison"])

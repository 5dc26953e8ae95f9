"""The words of all tables: every label used exists, every caption reads as a sentence."""

import re

import pytest

from opendasheng.corpora import captions, vocabulary
from opendasheng.corpora.recipe import table
from opendasheng.data.clip import KINDS
from opendasheng.errors import CorpusError


def test_every_label_of_every_table_is_known() -> None:
    used = {label for row in table("game_sounds.toml").values() for _, label in row["rules"]}
    used |= {label for name in ("hydrogen.toml", "sonic_pi.toml") for _, label in table(name)["rules"]}
    used |= {label for name in ("tuxpaint.toml", "qabcs.toml") for label in table(name)}
    used.discard("")
    assert len(used) > 100
    for label in used:
        assert vocabulary.entry(label).label == label


def test_rules_are_regular_expressions() -> None:
    rows = [*table("game_sounds.toml").values(), table("hydrogen.toml"), table("sonic_pi.toml")]
    for pattern, _ in [rule for row in rows for rule in row["rules"]]:
        re.compile(pattern)


@pytest.mark.parametrize("label", sorted(vocabulary.entries()))
def test_captions_are_sentences(label: str) -> None:
    entry = vocabulary.entry(label)
    assert entry.kind in KINDS
    assert entry.labels[0] == label
    assert len(entry.captions("key")) >= 2
    for sentence in entry.sentences:
        assert re.fullmatch(r"[A-Z][a-zA-Z', -]+\.", sentence), sentence
        assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeiou]|\b[Aa]n? (bagpipes|maracas|spoons|scissors)\b", sentence)


def test_the_wider_labels_of_a_label_are_labels_or_groups() -> None:
    groups = {wider for group in table("vocabulary.toml").values() for wider in group["labels"]}
    plain = {"singing", "bass", "paper", "electronic instrument", "electronic music", "piano"}
    for entry in vocabulary.entries().values():
        for wider in entry.labels[1:]:
            assert wider in vocabulary.entries() or wider in groups | plain, (entry.label, wider)


def test_an_unknown_label_is_named() -> None:
    with pytest.raises(CorpusError, match="'hound'"):
        vocabulary.entry("hound")


def test_choice_depends_on_the_key_only() -> None:
    options = [f"option {number}" for number in range(6)]
    assert captions.choose("a", options, 3) == captions.choose("a", options[::-1], 3)
    assert len({captions.choose(str(key), options, 1) for key in range(60)}) == 6
    assert len(captions.choose("a", options, 9)) == 6


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("dog", "a dog"),
        ("owl", "an owl"),
        ("ukulele", "a ukulele"),
        ("umbrella", "an umbrella"),
    ],
)
def test_articles(noun: str, expected: str) -> None:
    assert vocabulary.with_article(noun) == expected


@pytest.mark.parametrize("style", ["sentence", "prompt", "dialogue", "phrase", "word"])
def test_speech_captions_say_who_and_which_language(style: str) -> None:
    for key in range(20):
        first, second = captions.speech(str(key), style, language="ru", gender="male")
        assert first != second
        assert all(text[0].isupper() and text.endswith(".") for text in (first, second))
        assert "woman" not in first + second
    assert any("Russian" in text for text in captions.speech("0", style, language="ru", gender=None))

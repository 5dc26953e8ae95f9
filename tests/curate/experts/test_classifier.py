"""Classifiers of transformers as experts: what they are sure of, in the words of a record."""

import numpy as np
import pytest
import torch
from findings import heard
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

from opendasheng.curate.experts.classifier import Age, AudioClassifier, Emotion, Genre, Mood, Scene, VoiceQuality
from opendasheng.curate.experts.tags import Tags
from opendasheng.curate.record import Findings
from opendasheng.errors import CheckpointError

RATE = 16_000
LABELS = ("Speech", "Dog", "Inside_small")


def write(folder, problem="single_label_classification", rate=RATE):
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, conv_dim=(8,) * 7, classifier_proj_size=8, problem_type=problem,
        id2label=dict(enumerate(LABELS)), label2id={name: n for n, name in enumerate(LABELS)},
    )  # fmt: skip
    model = Wav2Vec2ForSequenceClassification(config)
    model.classifier.bias.data.copy_(torch.tensor([-4.0, 2.0, -4.0]))
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=rate).save_pretrained(folder)
    return str(folder)


def noise(seconds):
    return (0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_the_likeliest_class_is_told_with_how_sure_it_is(tmp_path):
    folder = write(tmp_path)
    classifier = AudioClassifier(folder)
    audio = noise(12.0)
    scores = classifier.scores([audio[:96_000], audio[96_000:]])
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    for expert in (cls(folder) for cls in (Emotion, Age, VoiceQuality, Genre, Mood, Scene)):
        found = expert.hear(audio, heard())
        assert dict(found.values) == {expert.name: "dog"}
        assert found.confidences[expert.name] == pytest.approx(scores.mean(0)[1], abs=1e-3)
    assert Emotion(folder).hear(noise(0.1), heard()).values == {"emotion": "dog"}


def test_each_hears_what_it_is_for(tmp_path):
    folder = write(tmp_path)
    music = heard({"activity": Findings(version="1", values={"has_speech": False, "has_music": True})})
    wanted = [cls(folder).wants(music) for cls in (Emotion, Age, VoiceQuality, Genre, Mood, Scene)]
    assert wanted == [False, False, False, True, True, True]


def test_tags_are_heard_in_windows_of_two_seconds(tmp_path):
    found = Tags(write(tmp_path, "multi_label_classification")).hear(noise(5.0), heard(duration_seconds=5.0))
    assert found.values["tags"] == ("Dog",)
    [event] = found.events
    assert (event.start_seconds, event.end_seconds) == (0.0, 5.0)


def test_what_is_no_classifier_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="8000 Hz"):
        AudioClassifier(write(tmp_path / "slow", rate=8000))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no audio classifier"):
        Scene(str(tmp_path / "empty"))

"""Speakers are counted and told apart by voice; windows and turns cover what they should."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForXVector

from opendasheng.curate.experts import speakers
from opendasheng.curate.experts.speakers import Speakers
from opendasheng.curate.record import Event, Findings, Record
from opendasheng.errors import CheckpointError

RATE = 16_000


def record(seconds, *speech):
    found = {}
    if speech:
        events = tuple(Event(label="speech", start_seconds=a, end_seconds=b) for a, b in speech)
        found = {"activity": Findings(version="1", values={"has_speech": True}, events=events)}
    return Record(id="a", source="s", recording="r", licence="CC0-1.0", duration_seconds=seconds, findings=found)


def tone(hertz, seconds):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def ge2e(tmp_path_factory):
    """A random encoder in the form of Resemblyzer's file."""
    torch.manual_seed(3)
    parts = {"lstm": torch.nn.LSTM(40, 256, 3, batch_first=True), "linear": torch.nn.Linear(256, 256)}
    state = {f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}
    path = tmp_path_factory.mktemp("ge2e") / "pretrained.pt"
    torch.save({"step": 1, "model_state": state | {"similarity_weight": torch.ones(1)}}, path)
    return path


@pytest.fixture
def by_pitch(ge2e, monkeypatch):
    """The expert, where a voice is how often its wave crosses zero."""
    expert = Speakers(str(ge2e))

    def voices(windows):
        crossings = [np.mean(np.diff(np.sign(window)) != 0) for window in windows]
        return np.array([[np.cos(20 * share), np.sin(20 * share)] for share in crossings], dtype=np.float32)

    monkeypatch.setattr(expert, "_voices", voices)
    return expert


def test_two_voices_in_turn_are_two_speakers(by_pitch):
    audio = np.concatenate([tone(150, 4), tone(600, 4), tone(150, 4)])
    found = by_pitch.hear(audio, record(12.0))
    assert found.values == {"num_speakers": 2}
    assert [event.label for event in found.events] == ["speaker 1", "speaker 2", "speaker 1"]
    np.testing.assert_allclose([event.end_seconds for event in found.events], [4, 8, 12], atol=0.8)
    assert by_pitch.hear(tone(150, 12), record(12.0)).values == {"num_speakers": 1}


def test_only_speech_is_listened_to(by_pitch):
    audio = np.concatenate([tone(600, 4), tone(150, 4)])
    found = by_pitch.hear(audio, record(8.0, (4.0, 8.0)))
    assert found.values == {"num_speakers": 1}
    assert found.events[0].start_seconds == 4.0
    assert not by_pitch.hear(audio, record(8.0, (4.0, 4.3))).values
    silent = Findings(version="1", values={"has_speech": False})
    assert not by_pitch.wants(record(8.0).heard("activity", silent))


def test_the_small_encoder_tells_one_sound_from_another(ge2e):
    expert = Speakers(str(ge2e))
    vectors = expert._voices([tone(150, 1.6), tone(150, 1.6), tone(1500, 1.6), np.zeros(25_600, np.float32)])
    assert vectors.shape == (4, 256)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-4
    assert (vectors >= 0).all()
    assert expert.version == Speakers(str(ge2e)).version


def test_x_vectors_of_transformers_are_voices_too(tmp_path):
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, conv_dim=(8,) * 7, tdnn_dim=(8, 8), tdnn_kernel=(3, 3), tdnn_dilation=(1, 2),
        xvector_output_dim=8,
    )  # fmt: skip
    Wav2Vec2ForXVector(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    expert = Speakers(str(tmp_path))
    assert expert._voices([tone(150, 1.6), tone(300, 0.9)]).shape == (2, 8)
    assert expert.hear(tone(150, 3.0), record(3.0)).values["num_speakers"] >= 1


@pytest.mark.parametrize("content", [b"", b"PK", None])
def test_other_files_are_refused(tmp_path, content):
    if content is None:
        torch.save({"model_state": {}}, tmp_path / "x.pt")
    else:
        (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="no encoder of Resemblyzer"):
        Speakers(str(tmp_path / "x.pt"))
    with pytest.raises(CheckpointError, match="no x-vector model"):
        Speakers(str(tmp_path))


@given(st.integers(1, 200_000), st.integers(0, 300_000))
@settings(max_examples=100, deadline=None)
def test_windows_lie_within_speech_and_reach_its_end(size, start):
    windows = speakers._windows(start + size, [(start, start + size)])
    if size >= 12_800:
        assert windows[0][0] == start
        assert windows[-1][1] >= start + size - 12_800
    assert all(start <= a < b <= start + size and b - a <= 25_600 for a, b in windows)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_turns_follow_each_other(labels):
    windows = [(12_800 * place, 12_800 * place + 25_600) for place in range(len(labels))]
    turns = speakers._turns(windows, labels)
    assert turns[0].start_seconds == 0
    assert all(a.end_seconds == b.start_seconds and a.label != b.label for a, b in itertools.pairwise(turns))
    assert turns[-1].end_seconds == round(windows[-1][1] / RATE, 2)


def test_a_window_between_two_voices_is_of_one_of_them():
    vectors = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 1], [0, 1]], dtype=np.float32)
    assert speakers._without_strays(vectors, np.array([0, 0, 1, 2, 2])).tolist() == [0, 0, 2, 2, 2]
    assert speakers._without_strays(vectors, np.arange(5)).tolist() == [0, 1, 2, 3, 4]

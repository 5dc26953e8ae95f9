"""Batches are counted by hand and by the code that trains, and both ways of a step learn from the same tokens."""

import numpy as np
import pytest
import torch

from opendasheng.bench import batches
from opendasheng.bench.batches import Length, Trainer
from opendasheng.data.batching import length_bounded_batches
from opendasheng.model import MiDashengLMConfig, MiDashengLMModel


def test_the_mix_is_that_of_the_docstring() -> None:
    seconds = np.array([clip.duration_seconds for clip in batches.mix(20_000)])
    assert 6.5 < seconds.mean() < 7.2
    assert 5.5 < np.median(seconds) < 6.0
    assert 0.84 < (seconds <= 10).mean() < 0.88
    assert (seconds >= 1).all()
    assert (seconds <= 30).all()
    assert batches.mix(50) == batches.mix(50)


def test_answers_of_the_mix_tell_nothing_of_its_audio() -> None:
    seconds, tokens = np.array(batches.mix(20_000)).T
    assert 20 <= np.median(tokens) <= 22
    assert abs(np.corrcoef(seconds, tokens)[0, 1]) < 0.03


def test_batches_are_counted_as_they_are_trained() -> None:
    clips = batches.mix(5_000)

    def computed(found: list[list[Length]]) -> float:
        return sum(len(batch) * max(clip.answer_tokens for clip in batch) for batch in found)

    by_audio = length_bounded_batches(clips, batch_seconds=112.0, batch_clips=1_000_000, seed=[0])
    assert computed(batches.ours(clips)) < 0.7 * computed(by_audio)


def test_our_batches_compute_little_more_than_what_is_of_use() -> None:
    counted = batches.counts()
    assert len({count.useful for count in counted.values()}) == 1
    share = {name: count.computed / count.useful for name, count in counted.items()}
    assert share["ours"] <= 1.03
    assert share["random"] == pytest.approx(3.1, abs=0.1)
    assert share["30 s"] == pytest.approx(4.3, abs=0.15)


def test_counts_are_those_of_a_sum_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [Length(1.0)] * 32 + [Length(2.0)] * 31 + [Length(1.0)]
    monkeypatch.setattr(batches, "mix", lambda num_clips: clips[:num_clips])
    one, two = 25, 50  # patches of 40 ms; a clip of n samples has (1 + n // 160) // 4
    counted = batches.counts(64)
    assert counted["random"] == (33 * one + 31 * two, 32 * one + 32 * two)
    assert counted["30 s"].computed == 64 * 750
    assert counted["ours"].computed <= 64 * two


@pytest.fixture
def trainer() -> Trainer:
    torch.manual_seed(0)
    text = {
        "model_type": "qwen2",
        "vocab_size": 40,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    encoder = {"embed_dim": 16, "depth": 1, "num_heads": 2}
    config = MiDashengLMConfig(audio_encoder_config=encoder, text_config=text, audio_token_id=39)
    return Trainer(MiDashengLMModel(config).train())


def test_both_ways_hear_the_same_number_of_tokens_and_learn(trainer: Trainer) -> None:
    clips = [Length(1.0), Length(2.5), Length(1.3)]
    lengths = torch.tensor([16_000, 40_000, 20_800])
    audio = 0.1 * torch.randn(3, 40_000)
    ids, labels, mask = trainer._texts(lengths)
    embeds = trainer._embeds(ids, audio, lengths)
    assert embeds.shape == (*ids.shape, 16)
    assert (ids == 39).sum(1).tolist() == [5, 12, 6]
    assert ((labels != -100).sum(1)).tolist() == [3, 8, 4]
    assert (mask.sum(1) == (ids != 0).sum(1)).all()
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    losses = [trainer.step(clips, padded=padded) for padded in (True, False)]
    assert losses[0] == pytest.approx(losses[1], rel=0.2)
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))


def test_a_comparison_says_what_it_compares(trainer: Trainer) -> None:
    [comparison] = batches.comparisons(trainer.model.config, num_clips=4)
    assert comparison.goal is None
    assert comparison.bound is not None
    assert comparison.bound >= 1
    comparison.ours()
    comparison.theirs()

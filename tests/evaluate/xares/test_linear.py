"""The linear head learns what is linear, keeps its best epoch, and counts padding only where it is told to."""

import math

import numpy as np
import pytest
import torch

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares import linear, metrics
from opendasheng.evaluate.xares.tasks import Training


def blobs(count: int, seed: int, width: int = 6) -> linear.Clips:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(3, width)) * 4
    labels = random.integers(3, size=count)
    x = centres[labels] + random.normal(size=(count, width))
    return linear.Clips(torch.tensor(x, dtype=torch.float32), torch.tensor(labels))


def accuracy(clips: linear.Clips):
    return lambda head: metrics.accuracy(linear.predict(head, clips, 32), clips.y.numpy())


def test_it_learns_classes_and_the_same_seed_gives_the_same_head() -> None:
    train, test = blobs(200, 1), blobs(100, 2)
    heads = []
    for _ in range(2):
        head = linear.linear_head(6, 3, seed=42)
        before = accuracy(test)(head)
        fitted = linear.fit(head, train, linear.class_loss, accuracy(test), Training(epochs=40, batch_size=8), seed=42)
        heads.append(fitted.head.state_dict())
    assert before < 0.7
    assert accuracy(test)(fitted.head) > 0.95
    assert all(torch.equal(a, b) for a, b in zip(heads[0].values(), heads[1].values(), strict=True))


def test_it_learns_tags_and_a_weight_for_positives_finds_more_of_them() -> None:
    train, test = blobs(300, 3), blobs(100, 4)
    tags = [linear.Clips(c.x, torch.nn.functional.one_hot(c.y, 3).float()) for c in (train, test)]
    found = {}
    for weight in (1.0, 10.0):
        head = linear.linear_head(6, 3, seed=0)
        fitted = linear.fit(head, tags[0], linear.TagLoss(weight), None, Training(epochs=40, batch_size=8), seed=0)
        logits = linear.predict(fitted.head, tags[1], 32)
        found[weight] = (logits > 0).sum()
        assert metrics.mean_average_precision(logits, tags[1].y.numpy()) > 0.9
    assert found[10.0] > found[1.0]


def test_the_rate_falls_along_a_cosine_each_epoch() -> None:
    assert linear.learning_rate(0, 10) == pytest.approx(1e-3)
    assert linear.learning_rate(5, 10) == pytest.approx(5.5e-4)
    assert linear.learning_rate(9, 10) == pytest.approx(1e-4 + 4.5e-4 * (1 + math.cos(0.9 * math.pi)))
    assert linear.learning_rate(0, 1) == pytest.approx(1e-3)


def test_the_first_best_epoch_stays() -> None:
    scores = iter([0.2, 0.7, 0.7, 0.1])
    states = []

    def score(head: torch.nn.Module) -> float:
        states.append({name: weight.clone() for name, weight in head.state_dict().items()})
        return next(scores)

    head = linear.linear_head(6, 3, seed=0)
    fitted = linear.fit(head, blobs(64, 5), linear.class_loss, score, Training(epochs=4), seed=0)
    assert (fitted.epoch, fitted.valid_score) == (2, 0.7)
    assert all(torch.equal(weight, states[1][name]) for name, weight in fitted.head.state_dict().items())


def test_without_a_score_the_last_epoch_stays() -> None:
    fitted = linear.fit(linear.linear_head(6, 3, 0), blobs(40, 6), linear.class_loss, None, Training(epochs=3), seed=0)
    assert (fitted.epoch, fitted.valid_score) == (3, None)


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="nothing to train on"):
        linear.fit(linear.linear_head(6, 3, 0), blobs(0, 1), linear.class_loss, None, Training(), seed=0)


def frames(reading: str, lengths: tuple[int, ...] = (50, 20), seed: int = 0) -> linear.Frames:
    """Class 0 is heard where the first feature is positive."""
    random = np.random.default_rng(seed)
    x = [random.normal(size=(length, 6)).astype(np.float32) for length in lengths]
    for row in x:
        row[:, 0] = np.where(np.arange(len(row)) // 10 % 2, 3.0, -3.0)
    y = [(row[:, :1] > 0).astype(np.float32) for row in x]
    return linear.Frames(x, y, reading)


@pytest.mark.parametrize("reading", ["compat", "strict"])
def test_it_learns_frames(reading: str) -> None:
    train, test = frames(reading, (50, 30) * 10, 1), frames(reading, (50, 30), 2)
    head = linear.linear_head(6, 1, seed=0)
    fitted = linear.fit(head, train, linear.TagLoss(), None, Training(epochs=200, batch_size=4), seed=0)
    assert linear.score_frames(fitted.head, test, 2, 5, "segment_f1_micro", reading) > 0.95


def test_only_compat_hears_the_padding_of_a_batch() -> None:
    always = torch.nn.Linear(6, 1)
    torch.nn.init.zeros_(always.weight)
    torch.nn.init.ones_(always.bias)  # finds the class everywhere
    together = {r: linear.score_frames(always, frames(r), 2, 10, "segment_f1_micro", r) for r in ("compat", "strict")}
    alone = {r: linear.score_frames(always, frames(r), 1, 10, "segment_f1_micro", r) for r in ("compat", "strict")}
    assert together["strict"] == alone["strict"] == pytest.approx(2 * 3 / (7 + 3))
    assert together["compat"] == pytest.approx(2 * 3 / (10 + 3))
    batch = frames("compat").batch([0, 1])
    loss = linear.TagLoss()
    assert loss(always, batch) > loss(always, frames("strict").batch([0, 1]))

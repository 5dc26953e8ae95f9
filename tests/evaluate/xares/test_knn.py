"""Nearest neighbours: the published normalisation and true cosine."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.evaluate.xares.knn import NEIGHBOURS, TEMPERATURE, knn_accuracy, votes


def sample(seed: int, num_train: int = 60, num_test: int = 20, width: int = 8) -> tuple:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(4, width))
    scale = np.exp(random.normal(size=width))
    train_labels, test_labels = random.integers(4, size=num_train), random.integers(4, size=num_test)
    train = (centres[train_labels] + random.normal(size=(num_train, width)) + 1) * scale
    test = (centres[test_labels] + random.normal(size=(num_test, width)) + 1) * scale
    return train.astype(np.float32), train_labels, test.astype(np.float32), test_labels


def reference(train: np.ndarray, labels: np.ndarray, test: np.ndarray, axis: int) -> np.ndarray:
    """The definition in torch, the training features scaled along ``axis``."""
    keys = torch.nn.functional.normalize(torch.tensor(train, dtype=torch.float64), dim=axis)
    queries = torch.nn.functional.normalize(torch.tensor(test, dtype=torch.float64), dim=1)
    nearest, places = (queries @ keys.T).topk(NEIGHBOURS)
    weights = (nearest / TEMPERATURE).softmax(1)
    one_hot = torch.nn.functional.one_hot(torch.tensor(labels)[places], 4)
    return (weights[..., None] * one_hot).sum(1).numpy()


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_compat_scales_features_over_items_and_strict_items_over_features(seed: int) -> None:
    train, labels, test, _ = sample(seed)
    for reading, axis in (("compat", 0), ("strict", 1)):
        found = votes(train, labels, test, num_classes=4, reading=reading)
        np.testing.assert_allclose(found, reference(train, labels, test, axis), atol=1e-9)
        np.testing.assert_allclose(found.sum(1), 1.0)


def test_only_strict_is_blind_to_the_length_of_training_items() -> None:
    train, labels, test, _ = sample(3)
    longer = train * np.linspace(0.2, 5, len(train), dtype=np.float32)[:, None]
    winners = {}
    for reading in ("compat", "strict"):
        before, after = (votes(x, labels, test, num_classes=4, reading=reading).argmax(1) for x in (train, longer))
        winners[reading] = (before == after).mean()
    assert winners["strict"] == 1.0
    assert winners["compat"] < 1.0


def test_the_two_readings_are_not_the_same_neighbours() -> None:
    train, labels, test, _ = sample(5, num_train=300, num_test=200)
    compat, strict = (votes(train, labels, test, num_classes=4, reading=r).argmax(1) for r in ("compat", "strict"))
    assert (compat == strict).mean() < 0.9


def test_fewer_items_than_neighbours_all_vote_and_many_test_items_change_nothing() -> None:
    train, labels, test, truth = sample(7, num_train=4, num_test=600)
    whole = votes(train, labels, test, num_classes=4, reading="strict")
    parts = np.concatenate(
        [votes(train, labels, test[i : i + 7], num_classes=4, reading="strict") for i in range(0, 600, 7)]
    )
    np.testing.assert_allclose(whole, parts)
    score = knn_accuracy(train, labels, test, truth, num_classes=4, reading="strict")
    assert score == pytest.approx((whole.argmax(1) == truth).mean())

"""A layer that spells: it learns what the frames hold, and its errors are counted in characters."""

import numpy as np
import pytest
import torch
from torch import nn

from opendasheng.data.spelling import Spelling
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.linear import fit, linear_head
from opendasheng.evaluate.xares.metrics import one_minus_cer
from opendasheng.evaluate.xares.spelling import Spelt, count_errors, spelling_loss
from opendasheng.evaluate.xares.tasks import Training

WORDS = ["Abba", "cab", "Bad cab!", "a dab", "dad", "a bad cad"]
SPELLING = Spelling(" abcd")


def _frames(word: str, noise: float, seed: int) -> np.ndarray:
    """Three frames a character, float32 ``(T, 8)``, in the last two of which it stands."""
    random = np.random.default_rng(seed)
    rows = []
    for number in SPELLING.spell(word):
        shown = np.zeros((3, 8), dtype=np.float32)
        shown[0, 0] = shown[1, number] = shown[2, number] = 3.0
        rows.append(shown)
    x_TD: np.ndarray = np.concatenate(rows)
    return (x_TD + noise * random.standard_normal(x_TD.shape)).astype(np.float32)


def _spelt(noise: float, seed: int) -> Spelt:
    return Spelt([_frames(word, noise, seed + i) for i, word in enumerate(WORDS)], WORDS, SPELLING)


@pytest.mark.parametrize(("noise", "low", "high"), [(0.1, 0.99, 1.0), (50.0, 0.0, 0.5)])
def test_it_learns_what_the_frames_hold(noise, low, high):
    head = linear_head(8, len(SPELLING.characters) + 1, seed=0)
    fitted = fit(head, _spelt(noise, 0), spelling_loss, None, Training(epochs=500, batch_size=3), seed=0)
    assert low <= one_minus_cer(count_errors(fitted.head, _spelt(noise, 100), batch_size=4)) <= high


class _Says(nn.Module):
    """Of frames that hold one number each, what they say."""

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(x_BTD[..., 0].long(), 6).float()


def test_errors_are_counted_in_characters_and_padding_says_nothing():
    frames = [np.array(ids, dtype=np.float32)[:, None] for ids in ([2, 0, 3, 3, 0, 3, 2], [4, 0], [2])]
    spelt = Spelt(frames, ["Abba?", "cab", "!"], SPELLING)
    counts = count_errors(_Says(), spelt, batch_size=2)
    assert counts.tolist() == [[0, 4], [2, 3], [1, 0]]
    assert one_minus_cer(counts) == pytest.approx(1 - 3 / 7)
    assert one_minus_cer(np.array([[9, 3]])) == 0.0
    with pytest.raises(EvaluationError, match="character error rate"):
        one_minus_cer(counts[2:])


def test_more_characters_than_frames_teach_nothing():
    head = linear_head(8, len(SPELLING.characters) + 1, seed=0)
    loss = spelling_loss(head, Spelt([_frames("a", 0.1, 0)], ["abcd dcba"], SPELLING).batch([0]))
    assert loss.item() == 0.0

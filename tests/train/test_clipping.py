"""Gradients are as long as a sum in double precision says, and no longer than the limit."""

import math

import pytest
import torch
from torch import nn

from opendasheng.train.clipping import clip_gradients
from opendasheng.train.world import World


def parameters(*gradients: torch.Tensor | None) -> list[nn.Parameter]:
    found = []
    for gradient in gradients:
        found.append(nn.Parameter(torch.zeros(1 if gradient is None else gradient.shape)))
        found[-1].grad = gradient
    return found


def length(gradients: list[nn.Parameter]) -> float:
    return torch.cat([p.grad.double().flatten() for p in gradients if p.grad is not None]).norm().item()


def test_a_million_numbers_are_measured_to_1e_9() -> None:
    torch.manual_seed(0)
    many = torch.randn(512, 2048)
    given = parameters(many.clone(), None, torch.randn(7))
    expected = length(given)
    assert abs(float(torch.linalg.vector_norm(many)) / length(given[:1]) - 1) > 1e-6, "float32 would do"
    assert clip_gradients(given, 1.0, World()) == pytest.approx(expected, rel=1e-9)
    assert length(given) == pytest.approx(1.0, rel=1e-7)


def test_short_gradients_and_those_that_are_not_finite_are_left_as_they_are() -> None:
    given = parameters(torch.tensor([0.3, 0.4]))
    assert clip_gradients(given, 0.6, World()) == pytest.approx(0.5)
    assert given[0].grad.tolist() == pytest.approx([0.3, 0.4])
    for value in (math.nan, math.inf):
        broken = parameters(torch.tensor([1.0, value]), torch.tensor([30.0]))
        assert not math.isfinite(clip_gradients(broken, 1.0, World()))
        assert broken[1].grad.item() == 30.0
    assert clip_gradients(parameters(None), 1.0, World()) == 0.0

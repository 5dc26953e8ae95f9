"""The blocks of a model, and what a step keeps of them for its gradients."""

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def blocks(model: nn.Module) -> Iterator[tuple[str, GradientCheckpointingLayer]]:
    """Name and module of each block of encoder and decoder, in the order in which they compute."""
    return ((name, part) for name, part in model.named_modules() if isinstance(part, GradientCheckpointingLayer))


def checkpoint_activations(model: nn.Module) -> int:
    """Let each block of encoder and decoder keep its input alone, and compute the rest again; how many blocks do.

    Losses and gradients stay the same to the bit: what dropout drew is drawn again.
    """
    found = [block for _, block in blocks(model)]
    for block in found:
        block.gradient_checkpointing = True
        block._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
    return len(found)

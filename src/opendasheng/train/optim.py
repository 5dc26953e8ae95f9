"""AdamW and its schedule (paper 4.1: linear warm-up, cosine to 10 %)."""

import math

import torch
from torch import nn

from opendasheng.train.averaging import keep_average
from opendasheng.train.config import OptimConfig
from opendasheng.train.eight_bit import eight_bit_adamw


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """AdamW over all trainable parameters; matrices decay, while biases, norms and embeddings of position do not. With
    ``average_share`` it keeps their averages.

    Raises what :func:`~opendasheng.train.eight_bit.eight_bit_adamw` does.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decayed = [p for name, p in named if p.ndim >= 2 and "pos_embed" not in name]
    others = [p for name, p in named if p.ndim < 2 or "pos_embed" in name]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    betas = (config.beta1, config.beta2)
    optimizer = (
        eight_bit_adamw(groups, config.lr, betas)
        if config.eight_bit
        else torch.optim.AdamW(groups, lr=config.lr, betas=betas, fused=True)
    )
    if config.average_share:
        keep_average(optimizer, config.average_share)
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Learn at ``rate`` from the next step on."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def learning_rate(step: int, total_steps: int, config: OptimConfig) -> float:
    """Rate of step ``step`` (from 0): linear up over ``warmup_steps``, then a cosine down to ``min_lr_share``."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    low = config.lr * config.min_lr_share
    return low + (config.lr - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

"""Optimisers: (parameter groups with their learning rates) → optimiser."""

from collections.abc import Iterable
from typing import Any

import torch


def adam(
    groups: Iterable[dict[str, Any]], *, epsilon: float = 1e-7, beta1: float = 0.9
) -> torch.optim.Optimizer:  # fmt: skip
    """Adam (Kingma & Ba 2015) with the ε of Keras, which the studies behind the reference systems used."""
    return torch.optim.Adam(groups, betas=(beta1, 0.999), eps=epsilon, fused=True)


def adamw(groups: Iterable[dict[str, Any]], *, weight_decay: float = 1e-4) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)

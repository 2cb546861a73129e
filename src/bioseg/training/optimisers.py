"""Optimisers: (parameter groups with their learning rates) → optimiser."""

from collections.abc import Iterable
from typing import Annotated, Any

import torch

from bioseg.specs import NonNegative, Positive, Range


def adam(
    groups: Iterable[dict[str, Any]], *, epsilon: Positive = 1e-7, beta1: Annotated[float, Range(0, 0.9999)] = 0.9
) -> torch.optim.Optimizer:  # fmt: skip
    """Adam (Kingma & Ba 2015) with the ε of Keras, which the studies behind the reference systems used."""
    return torch.optim.Adam(groups, betas=(beta1, 0.999), eps=epsilon, fused=True)


def adamw(groups: Iterable[dict[str, Any]], *, weight_decay: NonNegative = 1e-4) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)

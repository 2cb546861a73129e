"""The pretrained part of a network, where it has one: a submodule called ``encoder``."""

from torch import nn

from bioseg.types import BiosegError

NONE = {"encoder_learning_rate": "null", "freeze_epochs": "0"}
"""Settings of the training that need an encoder, and what they are without one."""


def encoder_of(network: nn.Module, setting: str) -> nn.Module:
    """The encoder of a network, for a setting of :data:`NONE`.

    Raises:
        BiosegError: It has none.
    """
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise BiosegError(f"training.{setting}: this network has no encoder; set it to {NONE[setting]}")
    return encoder


def set_frozen(encoder: nn.Module, frozen: bool) -> None:
    """Freeze weights and batch-norm statistics, after ``network.train()``; or let both learn again."""
    encoder.requires_grad_(not frozen)
    encoder.train(not frozen)

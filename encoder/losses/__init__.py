"""What a hash network is trained with."""

from encoder.losses.base import HashLoss
from encoder.losses.registry import create_loss, loss_names

__all__ = ["HashLoss", "create_loss", "loss_names"]

"""Trunks: networks pretrained on ImageNet that turn pictures into feature maps."""

from encoder.trunks.base import Trunk, WeightsSource
from encoder.trunks.registry import create_trunk, trunk_names

__all__ = ["Trunk", "WeightsSource", "create_trunk", "trunk_names"]

"""Hashers: codes learned from feature vectors alone, without training a network. numpy only."""

from encoder.hashers.base import Hasher
from encoder.hashers.registry import create_hasher, hasher_names

__all__ = ["Hasher", "create_hasher", "hasher_names"]

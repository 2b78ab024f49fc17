"""Painted, moving scenes: the pictures of generated clips."""

from encoder.scenery.close_ups import Garden, Gears, Market, Mosaic
from encoder.scenery.landscapes import Dunes, Hills, Road, Sea, Snow
from encoder.scenery.scene import Scene
from encoder.scenery.subjects import Balls, City, Reef

__all__ = ["SCENES", "Scene"]

SCENES: tuple[type[Scene], ...] = (
    Hills, City, Garden, Sea, Mosaic, Balls, Snow, Market, Road, Reef, Gears, Dunes,
)  # fmt: skip
"""Every kind of scene."""

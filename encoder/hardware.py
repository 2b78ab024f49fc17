"""Decoding on a GPU or another device, where there is one, without other frames than the processor gives.

Decoders of H.264, H.265, VP9 and AV1 have to give the very pixels of their standard, in hardware as in software; only
what they do with damage is their own affair. So a device's frames are taken until the first problem, whatever it is,
and the rest is decoded by the processor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import av
from av.codec.hwaccel import HWAccel, HWDeviceType

from hashreel.errors import BadInputError, DecodeError

if TYPE_CHECKING:
    from encoder.damage import DecodeWarning
    from encoder.video import KeyFrame

__all__ = ["OFF", "accelerator", "check_hardware", "hardware_first"]

logger = logging.getLogger(__name__)

OFF = "off"
# FFmpeg's AV_CUDA_USE_PRIMARY_CONTEXT: torch's context, not a further one of some hundred megabytes for every file.
_PRIMARY_CONTEXT = 1


def check_hardware(name: str) -> None:
    """Refuse what is no kind of device.

    Raises:
        BadInputError: With what is accepted.
    """
    known = [OFF, *(kind.name for kind in HWDeviceType if kind.name != "none")]
    if name not in known:
        raise BadInputError(f"hardware decoding is {name!r}; accepted: {', '.join(known)}")


def accelerator(name: str) -> HWAccel | None:
    """Return what opens a decoder on a kind of device; None where there is no such device, or for "off"."""
    return _new(name) if name != OFF and _is_there(name) else None


def _new(name: str) -> HWAccel:
    # A stream that the device cannot decode falls back to the processor by itself.
    return HWAccel(name, allow_software_fallback=True, flags=_PRIMARY_CONTEXT if name == "cuda" else None)


@cache
def _is_there(name: str) -> bool:
    try:
        _new(name).create(av.Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError) as exc:
        logger.warning("no hardware decoding on %s: %s", name, exc, extra={"action": "no_hardware"})
        return False
    return True


def hardware_first(
    decode: Callable[[str, list[DecodeWarning]], Iterator[KeyFrame]],
    hardware: str,
    warnings: list[DecodeWarning],
) -> Iterator[KeyFrame]:
    """Yield the frames that a device gives up to the first problem, then those of the processor.

    Args:
        decode: Called with a kind of device, or "off", and a list for warnings; decodes the whole range.
        hardware: The kind of device.
        warnings: Receives what the processor met.
    """
    met: list[DecodeWarning] = []
    count = 0
    try:
        for frame in decode(hardware, met):
            if met:
                break
            count += 1
            yield frame
        if not met:
            return
    except DecodeError:
        pass  # the processor says whether that is so
    # The processor gives the same frames up to here.
    for number, frame in enumerate(decode(OFF, warnings)):
        if number >= count:
            yield frame

"""Which GPUs workers may use, and by which names CUDA knows them. Nothing here loads torch."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from hashreel.errors import BadInputError

__all__ = ["device_environment", "gpu_uuids", "parse_gpus", "visible_gpus"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
_GPU = re.compile(r"GPU (?P<number>\d+):.*?(?:\(UUID: (?P<uuid>GPU-[^)]+)\))?$")
_SLICE = re.compile(r"\s+MIG .*\(UUID: (?P<uuid>MIG-[^)]+)\)$")


def visible_gpus() -> list[str]:
    """Return the devices that workers may use: CUDA_VISIBLE_DEVICES if set, else what nvidia-smi lists.

    A GPU has its number; one that is cut into MIG slices cannot be used as a whole, so its slices stand for it, each
    by its UUID. torch is not asked: it must not be loaded before a child's CUDA_VISIBLE_DEVICES is set.
    """
    named = os.environ.get(VISIBLE)
    if named is not None:
        # As CUDA reads it: what comes after a device that does not exist is not visible.
        names = itertools.takewhile(lambda name: name not in {"", "-1"}, map(str.strip, named.split(",")))
        return list(names)
    return [name for number, _, slices in _listed() for name in slices or [number]]


def gpu_uuids() -> dict[str, str]:
    """Return by UUID the number of each GPU that nvidia-smi lists, but for those that are cut into slices."""
    return {uuid: number for number, uuid, slices in _listed() if uuid and not slices}


def _listed() -> list[tuple[str, str, list[str]]]:
    """Return (number, UUID, UUIDs of its slices) of each GPU that nvidia-smi lists."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listing = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found: list[tuple[str, str, list[str]]] = []
    for line in listing.splitlines():
        # Lines of MIG slices follow that of their device.
        if gpu := _GPU.match(line):
            found.append((gpu["number"], gpu["uuid"] or "", []))
        elif found and (part := _SLICE.match(line)):
            found[-1][2].append(part["uuid"])
    return found


def parse_gpus(text: str, present: Sequence[str], uuids: Mapping[str, str] | None = None) -> list[str]:
    """Return the devices that ``--gpus`` names, one worker process each; empty means the CPU.

    Args:
        text: "auto" (all there are), "all" (at least one), "none", or names such as "0,1": numbers, or UUIDs of GPUs
            and MIG slices, of which the beginning will do.
        present: The devices of this machine.
        uuids: Other names of them.

    Raises:
        BadInputError: If a device is named twice or is not there.
    """
    if text == "none" or (text == "auto" and not present):
        return []
    if text in {"auto", "all"}:
        if not present:
            raise BadInputError("--gpus all: this machine has no GPU that nvidia-smi lists; use --gpus none")
        return list(present)
    if not present:
        raise BadInputError(f"--gpus {text}: this machine has no GPU that may be used; use --gpus none for the CPU")
    wanted = [_resolved(part.strip(), present, uuids or {}) for part in text.split(",")]
    unknown = [name for name in wanted if name not in present]
    if unknown or len(set(wanted)) < len(wanted):
        have = ", ".join(present)
        raise BadInputError(f"--gpus {text}: this machine has GPUs: {have}; name each at most once, or use none")
    return wanted


def _resolved(part: str, present: Sequence[str], uuids: Mapping[str, str]) -> str:
    """Return the name that CUDA_VISIBLE_DEVICES takes, of a device that may be named by the beginning of its UUID."""
    names = {name: name for name in present} | {uuid: name for uuid, name in uuids.items() if name in present}
    if part in names or not part.startswith(("GPU-", "MIG-")):
        return names.get(part, part)
    found = {name for known, name in names.items() if known.startswith(part)}
    return found.pop() if len(found) == 1 else part


def device_environment(gpu: str | None) -> dict[str, str]:
    """Return the variables that show a process one device, or none, once its torch is loaded.

    Args:
        gpu: Its name; None for the CPU.
    """
    # "" hides every device from a CPU worker.
    environment = {VISIBLE: gpu or ""}
    if VISIBLE not in os.environ:
        # nvidia-smi counts by slots, and CUDA, unless told to, by speed.
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return environment

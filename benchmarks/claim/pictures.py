"""Pictures as the frozen trunk sees them: computed once, kept on disk, shared by all arms and seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.claim.protocol import Protocol
from encoder.fingerprints import canonical_json, digest_tensors
from encoder.frozen import FrozenRunner
from encoder.training.cache import stored_features
from encoder.trunks import Trunk, create_trunk

__all__ = ["STRIDE", "Crops", "PictureStore", "Seen"]

STRIDE = 8
BATCH = 16
POOLING_ROWS = 64

Crop = NDArray[np.uint8]


@dataclass(frozen=True)
class Crops:
    """n square pictures: ``read`` gives number i as uint8 [s, s, 3]."""

    name: str
    count: int
    read: Callable[[int], Crop]


@dataclass(frozen=True)
class Seen:
    """The trunk's view of n pictures.

    Attributes:
        cells: float16 [n, h · w, N], the map, cell after cell; mapped into memory.
        pooled: float16 [n, P], the trunk's pooled features.
    """

    cells: NDArray[np.float16]
    pooled: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.cells)


class PictureStore:
    """Computes and keeps :class:`Seen` by name.

    Args:
        folder: for the files.
        protocol: names trunk and size.
        device: torch's name of where the trunk runs.
    """

    def __init__(self, folder: Path, protocol: Protocol, device: str = "cpu") -> None:
        self.folder, self.protocol, self.device = folder, protocol, device
        self._trunk: Trunk | None = None
        self._runner: FrozenRunner | None = None

    @property
    def trunk(self) -> Trunk:
        """The frozen trunk."""
        if self._trunk is None:
            self._trunk = create_trunk(self.protocol.trunk, output_stride=STRIDE).to(self.device)
        return self._trunk

    @property
    def side(self) -> int:
        """Cells a side of the map."""
        return -(-self.protocol.size // STRIDE)

    def seen(self, crops: Crops) -> Seen:
        """Return the trunk's view of pictures, going on where an interrupted run stopped."""
        facts = {"weights": digest_tensors(self.trunk.state_dict()), "size": self.protocol.size, "count": crops.count}
        sample = [hashlib.sha256(crops.read(i).tobytes()).hexdigest() for i in (0, crops.count // 2, crops.count - 1)]
        key = hashlib.sha256(canonical_json({**facts, "name": crops.name, "sample": sample})).hexdigest()
        stem = f"{crops.name}-{key[:12]}"
        cells = stored_features(self.folder / f"{stem}.npy", key, crops.count, self._cells(crops), _tell(crops.name))
        pooled = stored_features(self.folder / f"{stem}-pooled.npy", key, crops.count, self._pooled(cells))
        return Seen(cells, pooled)

    def _cells(self, crops: Crops) -> Callable[[range], NDArray[np.float32]]:
        def compute(numbers: range) -> NDArray[np.float32]:
            if self._runner is None:
                self._runner = FrozenRunner(self.trunk, self.trunk, self.protocol.size, BATCH)
            maps = self._runner.run(np.stack([crops.read(i) for i in numbers]))
            return maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)

        return compute

    def _pooled(self, cells: NDArray[np.float16]) -> Callable[[range], NDArray[np.float32]]:
        def compute(numbers: range) -> NDArray[np.float32]:
            parts = []
            for start in range(numbers.start, numbers.stop, POOLING_ROWS):
                rows = torch.from_numpy(np.array(cells[start : min(start + POOLING_ROWS, numbers.stop)])).to(
                    self.device
                )
                maps = rows.float().transpose(1, 2).reshape(len(rows), -1, self.side, self.side)
                with torch.inference_mode():
                    parts.append(self.trunk.pool(maps).cpu().numpy())
            return np.concatenate(parts)

        return compute


def _tell(name: str) -> Callable[[int, int], None]:
    return lambda done, count: print(f"trunk: {name} {done} of {count}", flush=True)

"""Epoch figures for TensorBoard, beside the CSV file and the picture that every training writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hashreel.errors import MissingExtraError

__all__ = ["TensorBoardLog"]


class TensorBoardLog:
    """Writes event files, one curve a figure: ``segmentation/mean_iou``, ``hash/loss``, ...

    A training that goes on where it stopped adds a second file; TensorBoard shows both as one run.

    Args:
        folder: for the event files; made if it does not exist.

    Raises:
        MissingExtraError: If tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as exc:
            raise MissingExtraError("--tensorboard needs tensorboard; install hashreel[tensorboard]") from exc
        self._writer = SummaryWriter(str(folder))

    def epoch(self, phase: str, record: Mapping[str, float]) -> None:
        """Write the figures of one epoch and let readers see them at once."""
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(f"{phase}/{name}", value, int(record["epoch"]))
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()

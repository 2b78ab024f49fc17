"""Progress bars of a training."""

from __future__ import annotations

from typing import Any

__all__ = ["Bars"]


class Bars:
    """One progress bar at a time, on stderr and only on a terminal."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self.bar: Any = None
        self.key: tuple[Any, ...] = ()

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Show a training step."""
        self._show(("epoch", epoch), f"epoch {epoch + 1}", step, steps)
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)

    def store(self, what: str, done: int, count: int) -> None:
        """Show how far frozen layers have been computed."""
        self._show(("store", what), f"features: {what}", done, count)

    def _show(self, key: tuple[Any, ...], label: str, done: int, count: int) -> None:
        from tqdm import tqdm

        if key != self.key:
            self._close()
            self.bar = tqdm(total=count, desc=label, disable=None if self.shown else True)
            self.key = key
        self.bar.update(done - self.bar.n)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

"""The kind for who does not want to choose: FAISS flat while a gallery is small, a faster exact kind above.

Our exact kind is faster at every size, but FAISS has nothing to compile, and at 200,000 codes it answers in a
seventh of a millisecond. When a gallery outgrows that, the exact index is built and warmed up beside the flat one,
which answers until the two are swapped; so it is where a large gallery is opened whose kernels are not compiled yet.
Codes too long for multi-index hashing go to the GPUs where there are any.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes
from hashreel.errors import BadInputError
from indexer.flat import FlatIndex
from indexer.index import Found, Index, load_index
from indexer.ranges import Ranges, check_ranges
from indexer.storage import load_header

if TYPE_CHECKING:
    from indexer.exact import ExactIndex

__all__ = ["AutoIndex"]

logger = logging.getLogger(__name__)

WARM_UP_S = 2.0
"""Taking compiled kernels from the cache takes a third of a second; who waits longer is waiting for the compiler."""


class AutoIndex(Index):
    """Flat below a number of frames, exact (or, for long codes, gpu) above, with the same answers.

    Args:
        bits: length of a code, in [8, 256].
        upgrade_frames: become exact when there are more frames than this.
        exact: options of :class:`indexer.exact.ExactIndex`.
    """

    kind = "auto"

    def __init__(self, bits: int, upgrade_frames: int = 200_000, exact: dict[str, Any] | None = None) -> None:
        super().__init__(bits)
        self._upgrade_frames = upgrade_frames
        self._options = exact or {}
        self._writing = threading.RLock()
        self._upgrade: threading.Thread | None = None
        self._missed: list[tuple[NDArray[np.int64], Codes] | NDArray[np.int64]] | None = None
        self._failed = False
        self._current: Index = FlatIndex(bits)

    def add(self, frame_ids: NDArray[Any], codes: NDArray[Any]) -> None:
        with self._writing:
            self._current.add(frame_ids, codes)
            if self._missed is not None:
                self._missed.append((np.array(frame_ids, np.int64), np.array(codes, np.uint8)))
            self._upgrade_if_due()

    def delete_ranges(self, ranges: NDArray[Any]) -> int:
        wanted = check_ranges(ranges)
        with self._writing:
            removed = self._current.delete_ranges(wanted)
            if self._missed is not None:
                self._missed.append(wanted)
        return removed

    def _upgrade_if_due(self) -> None:
        is_due = self._current.kind == "flat" and len(self._current) > self._upgrade_frames
        if is_due and self._upgrade is None and not self._failed:
            # The frames as they are now; what is written from here on is remembered and repeated.
            blocks = self._current.items()
            self._prepare_beside(lambda: self._grown(blocks))

    def _prepare_beside(self, prepare: Callable[[], Index]) -> threading.Thread:
        """Have another index made in the background, which then takes the place of the present one."""
        self._missed = []
        upgrade = threading.Thread(target=self._replace, args=(prepare,), name="hashreel-upgrade", daemon=True)
        self._upgrade = upgrade  # which the thread itself empties at its end, perhaps before the next line
        upgrade.start()
        return upgrade

    def _replace(self, prepare: Callable[[], Index]) -> None:
        try:
            larger = prepare()
            with self._writing:
                self._repeat_missed(larger)
                self._current = larger
        except Exception:
            self._failed = True
            logger.exception("no faster index could be made; FAISS flat goes on answering")
        finally:
            with self._writing:
                self._missed, self._upgrade = None, None

    def _grown(self, blocks: Iterator[tuple[NDArray[np.int64], Codes]]) -> Index:
        larger = self._larger()
        for ids, codes in blocks:
            larger.add(ids, codes)
        larger.compact()
        larger.warm_up()
        return larger

    def _larger(self) -> Index:
        # Imported here, in the upgrading thread: both take a while, and small galleries need neither.
        from indexer.exact import ExactIndex
        from indexer.gpu import GpuIndex, num_gpus
        from indexer.multi_index import MAX_TABLE_BITS

        if self.bits > MAX_TABLE_BITS and num_gpus():
            return GpuIndex(self.bits)
        return ExactIndex(self.bits, **self._options)

    def _repeat_missed(self, larger: Index) -> None:
        for write in self._missed or ():
            if isinstance(write, tuple):
                larger.add(*write)
            else:
                larger.delete_ranges(write)

    def compact(self) -> None:
        self._wait()
        self._current.compact()

    def close(self) -> None:
        self._wait()
        self._current.close()

    def _wait(self) -> None:
        upgrade = self._upgrade
        if upgrade is not None:
            upgrade.join()

    def __len__(self) -> int:
        return len(self._current)

    def _moment(self) -> tuple[Index, Any]:
        current = self._current
        return current, current._moment()

    def _search(self, moment: tuple[Index, Any], queries: Codes, top: int, ranges: Ranges | None) -> Found:
        return moment[0]._search(moment[1], queries, top, ranges)

    def _within(
        self,
        moment: tuple[Index, Any],
        queries: Codes,
        radii: NDArray[np.int32],
        ranges: Ranges | None,
        limit: int | None,
    ) -> list[Found]:
        return moment[0]._within(moment[1], queries, radii, ranges, limit)

    def _count(
        self, moment: tuple[Index, Any], queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None
    ) -> NDArray[np.int64]:
        return moment[0]._count(moment[1], queries, radii, ranges)

    def search_weighted(
        self, codes: NDArray[Any], weights: NDArray[Any], top: int, allowed: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return self._current.search_weighted(codes, weights, top, allowed)

    def items(
        self, allowed: NDArray[Any] | None = None, block: int = 65_536
    ) -> Iterator[tuple[NDArray[np.int64], Codes]]:
        return self._current.items(allowed, block)

    def codes_of(self, frame_ids: NDArray[Any]) -> Codes:
        return self._current.codes_of(frame_ids)

    def frozen(self) -> AutoIndex:
        copied = copy.copy(self)
        copied._current = self._current.frozen()
        return copied

    def save(self, folder: str | Path) -> None:
        self._current.save(folder)

    @classmethod
    def load(cls, folder: str | Path, mapped: bool = True, **options: Any) -> AutoIndex:
        """Take a saved flat or exact index; a large flat one begins to become exact at once."""
        header = load_header(folder)
        index = cls(header["bits"], **options)
        if header["kind"] not in {"flat", "exact"}:
            raise BadInputError(f"{folder} holds an index of kind {header['kind']!r}, not flat or exact")
        if header["kind"] == "exact":
            from indexer.exact import ExactIndex

            index._continue(ExactIndex.load(folder, mapped, **index._options))
            return index
        index._current = load_index(folder, header["kind"], mapped)
        with index._writing:
            index._upgrade_if_due()
        return index

    def _continue(self, larger: ExactIndex) -> None:
        """Go on with an exact index; if its kernels must be compiled first, FAISS answers from its codes until then."""
        self._prepare_beside(lambda: _warm(larger)).join(WARM_UP_S)
        with self._writing:
            if self._current is not larger:
                logger.info("searches are answered by FAISS while kernels are compiled", extra={"action": "compiling"})
                self._current = FlatIndex.over(self.bits, *larger.parts())

    def status(self) -> dict[str, Any]:
        status = self._current.status()
        return {
            **status,
            "kind": self.kind,
            "now": status["kind"],
            "upgrading": self._upgrade is not None,
            "upgrade_failed": self._failed,
        }


def _warm(index: Index) -> Index:
    index.warm_up()
    return index

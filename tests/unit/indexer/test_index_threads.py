"""Many threads search while one writes; every answer is that of a state that was current during the search."""

import threading
import time

import numpy as np
import pytest
from index_reference import EXACT_KINDS, make_exact

from encoder.codes import hamming_distances

VIDEO = 2**32
NEVER = 1 << 62


class History:
    """Every frame ever written, with the version that brought it and the one that took it away.

    The writer enters a change before it makes it, under the version that the change will complete. A search that
    began after version ``done`` and ended before version ``begun + 1`` must equal one of the states in between.
    """

    def __init__(self, capacity: int) -> None:
        self.ids = np.zeros(capacity, np.int64)
        self.codes = np.zeros((capacity, 6), np.uint8)
        self.born = np.full(capacity, NEVER)
        self.died = np.full(capacity, NEVER)
        self.rows = 0
        self.begun = 0
        self.done = 0

    def live(self):
        return np.flatnonzero((self.born[: self.rows] != NEVER) & (self.died[: self.rows] == NEVER))

    def enter_added(self, ids, codes):
        end = self.rows + len(ids)
        self.ids[self.rows : end], self.codes[self.rows : end] = ids, codes
        self.born[self.rows : end] = self.begun + 1
        self.rows = end
        self.begun += 1

    def enter_deleted(self, rows):
        self.died[rows] = self.begun + 1
        self.begun += 1

    def is_answer_of_some_state(self, first, last, query, form, found):
        rows = self.rows
        distances = hamming_distances(query[None], self.codes[:rows])[0]
        order = np.lexsort((self.ids[:rows], distances))
        for version in range(first, last + 1):
            alive = order[(self.born[order] <= version) & (self.died[order] > version)]
            expected = form(distances[alive], self.ids[alive])
            if np.array_equal(expected[0], found[0]) and np.array_equal(expected[1], found[1]):
                return True
        return False


def ask(index, query, rng):
    """Ask in one of several forms; return the answer and how to make it from all pairs in order."""
    kind, top, radius = rng.integers(0, 4), int(rng.integers(1, 60)), int(rng.integers(0, 14))
    if kind == 0:
        distances, ids = index.search(query[None], top)
        return (distances[0], ids[0]), lambda d, i: (d[:top], i[:top])
    if kind == 1:
        return index.within(query[None], radius)[0], lambda d, i: (d[d <= radius], i[d <= radius])
    if kind == 2:
        return index.search_groups(query[None], top)[0], lambda d, i: first_of_groups(d, i, top)
    first = int(rng.integers(0, 40)) * VIDEO
    distances, ids = index.search(query[None], top, np.array([[first, first + 30 * VIDEO]]))
    return (distances[0], ids[0]), lambda d, i: inside(d, i, first, first + 30 * VIDEO, top)


def first_of_groups(distances, ids, top):
    first = np.sort(np.unique(ids >> 32, return_index=True)[1])[:top]
    return distances[first], ids[first]


def inside(distances, ids, first, end, top):
    mask = (ids >= first) & (ids < end)
    return distances[mask][:top], ids[mask][:top]


class Campaign:
    """One writer, some searchers, and what they found wrong."""

    def __init__(self, index, num_searchers: int, capacity: int) -> None:
        self.index, self.history = index, History(capacity)
        self.is_over = threading.Event()
        self.wrong: list[str] = []
        self.checked = np.zeros(num_searchers, np.int64)
        rng = np.random.default_rng(7)
        base = rng.integers(0, 256, 6, dtype=np.uint8)
        self.codes = base ^ (
            rng.integers(0, 256, (24, 6), dtype=np.uint8) & rng.integers(0, 256, (24, 6), dtype=np.uint8)
        )
        self.next_video = 0

    def write_once(self, rng):
        live = self.history.live()
        if len(live) < 500 or (len(live) < 3000 and rng.random() < 0.6):
            self._put(rng, int(rng.integers(1, 200)))
        elif rng.random() < 0.5:
            self._delete_frames(rng.choice(live, min(len(live), 40), replace=False))
        else:
            self._delete_video(live, int(rng.choice(self.history.ids[live]) >> 32))

    def _put(self, rng, count):
        ids = self.next_video * VIDEO + np.arange(count)
        self.next_video += 1
        codes = self.codes[rng.integers(0, len(self.codes), count)]
        self.history.enter_added(ids, codes)
        self.index.add(ids, codes)
        self.history.done += 1

    def _delete_frames(self, rows):
        self.history.enter_deleted(rows)
        assert self.index.delete(self.history.ids[rows]) == len(rows)
        self.history.done += 1

    def _delete_video(self, live, video):
        rows = live[self.history.ids[live] >> 32 == video]
        self.history.enter_deleted(rows)
        assert self.index.delete_range(video * VIDEO, (video + 1) * VIDEO) == len(rows)
        self.history.done += 1

    def search(self, number):
        rng = np.random.default_rng(number)
        try:
            while not self.is_over.is_set():
                query = self.codes[rng.integers(0, len(self.codes))]
                first = self.history.done
                found, form = ask(self.index, query, rng)
                last = self.history.begun
                if not self.history.is_answer_of_some_state(first, last, query, form, found):
                    self.wrong.append(f"between {first} and {last}: {found}")
                self.checked[number] += 1
        except Exception as exc:
            self.wrong.append(repr(exc))
            raise

    def run(self, num_writes, seconds):
        searchers = [threading.Thread(target=self.search, args=(i,)) for i in range(len(self.checked))]
        rng = np.random.default_rng(1)
        self.write_once(rng)
        for searcher in searchers:
            searcher.start()
        end = time.monotonic() + seconds
        while self.history.begun < num_writes and time.monotonic() < end and not self.wrong:
            self.write_once(rng)
            time.sleep(0.001)
        self.is_over.set()
        for searcher in searchers:
            searcher.join()


def run_campaign(kind, num_searchers, num_writes, seconds):
    index = make_exact(kind, 48)
    # Compiling a kernel holds the interpreter for seconds; a campaign should spend them on searches.
    index.search(np.zeros((1, 6), np.uint8), 1)
    campaign = Campaign(index, num_searchers, capacity=200 * num_writes)
    campaign.run(num_writes, seconds)
    index.close()
    assert campaign.wrong == []
    assert campaign.checked.min() > 0
    assert len(index) == len(campaign.history.live())
    return campaign


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_every_answer_is_that_of_a_state_during_the_search(kind):
    run_campaign(kind, num_searchers=16, num_writes=40, seconds=60.0)


@pytest.mark.parametrize("kind", ["exact with tables", "auto"])
def test_threads_may_compact_at_once_while_one_writes(kind):
    index = make_exact(kind, 48)
    codes = np.random.default_rng(0).integers(0, 256, (4_000, 6), dtype=np.uint8)
    index.add(np.arange(1_000), codes[:1_000])
    compactors = [threading.Thread(target=lambda: [index.compact() for _ in range(5)]) for _ in range(3)]
    for compactor in compactors:
        compactor.start()
    for start in range(1_000, 4_000, 50):
        index.add(np.arange(start, start + 50), codes[start : start + 50])
        index.delete_range(start - 1_000, start - 990)
    for compactor in compactors:
        compactor.join()
    index.close()
    ids = np.concatenate([block[0] for block in index.items()])
    np.testing.assert_array_equal(ids, [i for i in range(4_000) if i >= 3_000 or i % 50 >= 10])


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_sixteen_searchers_for_a_minute(kind):
    campaign = run_campaign(kind, num_searchers=16, num_writes=20_000, seconds=60.0)
    print(f"{kind}: {campaign.checked.sum()} answers checked over {campaign.history.done} writes")

"""Long random lives of every exact kind: after each step, every query form against brute force."""

import tempfile
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from index_reference import (
    EXACT_KINDS,
    Reference,
    assert_equals_reference,
    assert_pairs_equal,
    load_exact,
    make_exact,
)

from hashreel.errors import ConflictError
from indexer.sorted_part import fold

VIDEO = 2**32
videos = st.integers(0, 7)
seeds = st.integers(0, 2**32 - 1)


class Life(RuleBasedStateMachine):
    """Puts, deletions, returns, compactions and restarts of one small gallery with many ties."""

    name = "flat"
    steps = 0

    @initialize(bits=st.sampled_from([8, 12, 33, 48, 64, 65, 128]), seed=seeds)
    def begin(self, bits, seed):
        rng = np.random.default_rng(seed)
        self.bits = bits
        self.index, self.reference = make_exact(self.name, bits), Reference(bits)
        # Few codes, near to each other: every answer is cut inside a tie.
        base = rng.integers(0, 2, bits, dtype=np.uint8)
        flips = rng.random((12, bits)) < 1.5 / bits
        self.codes = np.packbits(base ^ flips, axis=1, bitorder="little")

    @rule(video=videos, first=st.integers(0, 30), count=st.integers(1, 40), seed=seeds, is_reversed=st.booleans())
    def put(self, video, first, count, seed, is_reversed):
        ids = video * VIDEO + np.arange(first, first + count, dtype=np.int64)
        ids = ids[~np.isin(ids, self.reference.ids)]
        codes = self.codes[np.random.default_rng(seed).integers(0, len(self.codes), len(ids))]
        if is_reversed:
            ids = ids[::-1].copy()
        self.index.add(ids, codes)
        self.reference.add(ids, codes)

    @rule(seed=seeds)
    def put_a_live_id(self, seed):
        if len(self.reference.ids):
            taken = np.random.default_rng(seed).choice(self.reference.ids)
            ids = np.array([8 * VIDEO, taken])
            with pytest.raises(ConflictError):
                self.index.add(ids, self.codes[:2])

    @rule(seed=seeds, share=st.floats(0.0, 0.6))
    def delete_frames(self, seed, share):
        rng = np.random.default_rng(seed)
        ids = self.reference.ids[rng.random(len(self.reference.ids)) < share]
        assert self.index.delete(ids) == len(ids)
        assert self.index.delete(ids) == 0
        self.reference.delete(ids)

    @rule(video=videos, first=st.integers(0, 40), end=st.integers(0, 80))
    def delete_range(self, video, first, end):
        first, end = video * VIDEO + min(first, end), video * VIDEO + max(first, end)
        before = len(self.reference.ids)
        self.reference.delete_range(first, end)
        assert self.index.delete_range(first, end) == before - len(self.reference.ids)

    @rule(video=videos, seed=seeds)
    def replace(self, video, seed):
        first, end = video * VIDEO, (video + 1) * VIDEO
        self.index.delete_range(first, end)
        self.reference.delete_range(first, end)
        self.put(video, 5, 25, seed, is_reversed=False)

    @rule()
    def compact(self):
        self.index.compact()
        assert self.index.status()["tombstones"] == 0

    @rule(video=videos, seed=seeds, share=st.floats(0.0, 0.6))
    def compact_while_writing(self, video, seed, share):
        """Let writes come in after the next main part was begun and before it is swapped in."""

        wrote = []

        def fold_slowly(*args):
            folded = fold(*args)
            if wrote:
                return folded
            wrote.append(True)
            self.delete_frames(seed, share)
            self.put(video, 3, 30, seed, is_reversed=False)
            self.delete_frames(seed + 1, share)
            self.replace((video + 1) % 8, seed)
            return folded

        with patch("indexer.exact.fold", fold_slowly):
            self.index.compact()

    @rule(mapped=st.booleans())
    def restart(self, mapped):
        with tempfile.TemporaryDirectory() as folder:
            self.index.save(folder)
            self.index.close()
            self.index = load_exact(self.name, folder, mapped)

    @rule(
        seed=seeds,
        top=st.integers(0, 60),
        radius=st.integers(0, 8),
        cuts=st.lists(st.tuples(videos, st.integers(0, 70)), max_size=6),
    )
    def query_with_filter(self, seed, top, radius, cuts):
        rng = np.random.default_rng(seed)
        edges = np.sort([video * VIDEO + at for video, at in cuts])
        allowed = edges[: len(edges) // 2 * 2].reshape(-1, 2)
        queries = self.codes[rng.integers(0, len(self.codes), 2)]
        assert_equals_reference(self.index, self.reference, queries, (top,), (radius,), allowed)
        self._compare_other_forms(queries[0], top, allowed, rng)

    @rule(seed=seeds, top=st.integers(0, 60), radius=st.integers(0, 130))
    def query(self, seed, top, radius):
        rng = np.random.default_rng(seed)
        queries = self.codes[rng.integers(0, len(self.codes), 2)]
        assert_equals_reference(self.index, self.reference, queries, (top,), (radius,))
        self._compare_other_forms(queries[0], top, None, rng)

    def _compare_other_forms(self, query, top, allowed, rng):
        groups = self.index.search_groups(query[None], top, allowed)[0]
        assert_pairs_equal(groups, self.reference.group_pairs(query, top, allowed))
        weights = rng.integers(0, 4, self.bits).astype(np.float32)
        distances, ids = self.index.search_weighted(query[None], weights, top, allowed)
        expected = self.reference.weighted_pairs(query, weights, allowed)
        assert_pairs_equal((distances[0], ids[0]), (expected[0][:top], expected[1][:top]))

    @invariant()
    def holds_what_is_alive(self):
        if not hasattr(self, "index"):
            return
        type(self).steps += 1
        order = np.argsort(self.reference.ids)
        assert len(self.index) == len(order)
        blocks = list(self.index.items(block=64))
        ids = np.concatenate([np.empty(0, np.int64)] + [block[0] for block in blocks])
        np.testing.assert_array_equal(ids, self.reference.ids[order])
        np.testing.assert_array_equal(self.index.codes_of(ids), self.reference.codes[order])

    def teardown(self):
        if hasattr(self, "index"):
            self.index.close()


def run_life(kind, lives, steps):
    """Run at most so many lives of at most so many steps; return how many steps there were."""
    machine = type("LifeOfKind", (Life,), {"name": kind})
    limits = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=limits)
    return machine.steps


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_short_lives_equal_brute_force(kind):
    run_life(kind, lives=8, steps=15)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_two_thousand_steps_equal_brute_force(kind):
    done = 0
    while done < 2_000:
        done += run_life(kind, lives=50, steps=50)

"""Counts by distance, from codes and from an index's answers, against one comparison after the other."""

from __future__ import annotations

import numpy as np
import pytest
from brute_index import BruteIndex

from encoder.codes import hamming_distances
from hashreel.errors import BadInputError
from search.evaluation import (
    NO_GROUP,
    AnswerCounter,
    Exclusion,
    Labels,
    all_pairs,
    count_answers,
    count_distances,
    fetch_answers,
    metrics_for,
    score_rows,
)
from search.evaluation import exhaustive as exhaustive_module

CONCEPTS = ("cat", "dog", "sky", "sea")


class Case:
    """Random codes with many ties, several concepts an item, and queries of which some are gallery items."""

    def __init__(self, seed: int, width: int = 2, num_queries: int = 30, num_items: int = 400) -> None:
        rng = np.random.default_rng(seed)
        self.gallery = rng.integers(0, 256, (num_items, width), dtype=np.uint8)
        self.gallery_labels = Labels(CONCEPTS, rng.random((num_items, 4)) < (0.5, 0.3, 0.1, 0.02))
        self.rows = np.where(rng.random(num_queries) < 0.8, rng.integers(0, num_items, num_queries), NO_GROUP)
        known = np.maximum(self.rows, 0)
        self.queries = np.where(
            self.rows[:, None] >= 0, self.gallery[known], rng.integers(0, 256, (num_queries, width), dtype=np.uint8)
        )
        self.query_labels = Labels(
            CONCEPTS,
            np.where(self.rows[:, None] >= 0, self.gallery_labels.matrix[known], rng.random((num_queries, 4)) < 0.5),
        )
        self.videos = rng.integers(0, 12, num_items)
        self.ids = rng.permutation(num_items).astype(np.int64) * 7 + (5 << 32)
        self.itself = Exclusion.of_self(self.rows, num_items)
        self.own_video = Exclusion(np.where(self.rows >= 0, self.videos[known], NO_GROUP), self.videos)

    def allowed(self, exclusion: Exclusion | None) -> np.ndarray:
        """Return which gallery items each query may get, by comparing groups one by one."""
        if exclusion is None:
            return np.ones((len(self.queries), len(self.gallery)), dtype=bool)
        own = exclusion.queries[:, None]
        return ~((own == exclusion.gallery[None]) & (own != NO_GROUP))

    def count(self, exclusion: Exclusion | None, pairs: np.ndarray | None = None):
        return count_distances(
            self.queries, self.gallery, self.query_labels, self.gallery_labels, pairs=pairs, exclusion=exclusion
        )

    def count_by_index(self, exclusion: Exclusion | None, k: int, *, depth: int | None = None):
        left_out = 0 if exclusion is None else exclusion.num_excluded()
        top = np.full(len(self.queries), k if depth is None else depth) + left_out
        index = BruteIndex(self.ids, self.gallery)
        return count_answers(
            fetch_answers(index, self.queries, top, batch=7),
            self.ids,
            self.query_labels,
            self.gallery_labels,
            bits=8 * self.gallery.shape[1],
            exclusion=exclusion,
        )


def exclusions(case: Case) -> list[Exclusion | None]:
    return [None, case.itself, case.own_video]


@pytest.mark.parametrize("width", [1, 6, 8, 9, 31, 32])
def test_counts_from_codes_equal_counting_one_by_one(width, monkeypatch):
    monkeypatch.setattr(exhaustive_module, "ITEMS_PER_BLOCK", 150)
    monkeypatch.setattr(exhaustive_module, "QUERIES_PER_BLOCK", 8)
    case = Case(width, width)
    distances = hamming_distances(case.queries, case.gallery)
    for exclusion in exclusions(case):
        allowed, counts = case.allowed(exclusion), case.count(exclusion)
        assert np.array_equal(counts.pairs, all_pairs(case.query_labels))
        for query, own in enumerate(case.query_labels.matrix):
            mine = np.bincount(distances[query][allowed[query]], minlength=8 * width + 1)
            assert np.array_equal(counts.items[query], mine)
            shares = (case.gallery_labels.matrix & own).any(axis=1) & allowed[query]
            assert np.array_equal(counts.sharing[query], np.bincount(distances[query][shares], minlength=len(mine)))
            assert counts.total_sharing[query] == shares.sum()
        for row, (query, concept) in enumerate(counts.pairs):
            has = case.gallery_labels.matrix[:, concept] & allowed[query]
            assert np.array_equal(counts.relevant[row], np.bincount(distances[query][has], minlength=8 * width + 1))
            assert counts.total_relevant[row] == has.sum()
        assert np.array_equal(counts.gallery_size, allowed.sum(axis=1))
        assert counts.is_complete


def test_only_the_pairs_that_are_asked_for_are_counted_in_their_order():
    case = Case(3)
    pairs = all_pairs(case.query_labels)[::-3]
    every, some = case.count(None), case.count(None, pairs)
    place = {tuple(pair): i for i, pair in enumerate(every.pairs)}
    assert np.array_equal(some.relevant, every.relevant[[place[tuple(pair)] for pair in pairs]])


def test_shuffling_the_gallery_changes_no_count():
    case = Case(4)
    order = np.random.default_rng(0).permutation(len(case.gallery))
    place = np.argsort(order)
    rows = np.where(case.rows >= 0, place[case.rows], NO_GROUP)
    plain = case.count(case.itself)
    shuffled = count_distances(
        case.queries,
        case.gallery[order],
        case.query_labels,
        case.gallery_labels.take(order),
        exclusion=Exclusion.of_self(rows, len(order)),
    )
    for name in ("items", "relevant", "sharing", "gallery_size", "total_relevant"):
        assert np.array_equal(getattr(plain, name), getattr(shuffled, name)), name


@pytest.mark.parametrize("k", [1, 10, 50, 1000])
def test_an_index_that_cuts_ties_by_chance_gives_the_same_scores_as_the_codes(k):
    case = Case(5)
    for exclusion in exclusions(case):
        whole, fetched = case.count(exclusion), case.count_by_index(exclusion, k)
        fetched.check_covers(k)
        assert np.array_equal(whole.total_relevant, fetched.total_relevant)
        assert np.array_equal(whole.total_sharing, fetched.total_sharing)
        assert np.array_equal(whole.gallery_size, fetched.gallery_size)
        assert fetched.is_complete == (k == 1000)
        for metric in metrics_for((k,)):
            rows = [
                score_rows(metric, c.items_of_pairs, c.relevant, c.total_relevant, c.gallery_size_of_pairs)
                for c in (whole, fetched)
            ]
            assert np.allclose(rows[0].values, rows[1].values, rtol=0, atol=1e-13), metric.key
            assert np.array_equal(rows[0].chance, rows[1].chance)


def test_only_the_allowed_ids_are_asked_for():
    case = Case(10)
    middle = int(np.median(case.ids))
    part = np.flatnonzero(case.ids < middle)
    answers = fetch_answers(
        BruteIndex(case.ids, case.gallery), case.queries, np.full(30, 9), allowed=np.array([[0, middle]])
    )
    labels = case.gallery_labels.take(part)
    fetched = count_answers(answers, case.ids[part], case.query_labels, labels, bits=16)
    whole = count_distances(case.queries, case.gallery[part], case.query_labels, labels)
    assert np.array_equal(fetched.total_relevant, whole.total_relevant)
    covered = fetched.items > 0
    assert np.array_equal(fetched.items[covered], whole.items[covered])


def test_answers_that_are_too_shallow_for_k_are_refused():
    case = Case(6)
    counts = case.count_by_index(case.itself, 10, depth=1)
    counts.check_covers(1)
    with pytest.raises(BadInputError, match="too few for K = 300"):
        counts.check_covers(300)


def test_an_empty_index_answers_with_nothing():
    empty = Labels(CONCEPTS, np.zeros((0, 4), dtype=bool))
    index = BruteIndex(np.zeros(0, dtype=np.int64), np.zeros((0, 2), dtype=np.uint8))
    query = Labels.from_sets([{"cat"}], CONCEPTS)
    codes = np.zeros((1, 2), dtype=np.uint8)
    answers = fetch_answers(index, codes, np.array([10]))
    counts = count_answers(answers, index.ids, query, empty, bits=16)
    assert counts.total_relevant.tolist() == [0]
    assert counts.is_complete


def test_an_id_that_the_gallery_lacks_is_named():
    case = Case(7)
    counter = AnswerCounter(case.ids, case.query_labels, case.gallery_labels, bits=16)
    with pytest.raises(BadInputError, match="id 3, which is not of the gallery"):
        counter.add(0, np.array([1], dtype=np.int32), np.array([3], dtype=np.int64))
    with pytest.raises(BadInputError, match="distances run to 17"):
        counter.add(0, np.array([17], dtype=np.int32), case.ids[:1])


def test_ids_that_stand_twice_and_missing_answers_are_refused():
    case = Case(8)
    twice = np.concatenate((case.ids[:-1], case.ids[:1]))
    with pytest.raises(BadInputError, match="stands twice"):
        AnswerCounter(twice, case.query_labels, case.gallery_labels, bits=16)
    answer = (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64))
    for number in (29, 31):
        with pytest.raises(BadInputError, match=f"{number} answers for 30 queries"):
            count_answers([answer] * number, case.ids, case.query_labels, case.gallery_labels, bits=16)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query_codes": np.zeros((3, 2), np.uint8)}, "3 codes and 30 labels"),
        ({"query_codes": np.zeros((30, 3), np.uint8)}, "3 bytes"),
        ({"query_codes": np.zeros((30, 2), np.int32)}, "uint8"),
        ({"pairs": np.array([[0, 9]])}, "out of range"),
        ({"pairs": np.array([0, 1])}, "query, concept"),
        ({"exclusion": Exclusion.nothing(3, 400)}, "another number"),
        ({"query_labels": Labels(("a", "b", "c", "d"), np.zeros((30, 4), bool))}, "different concepts"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, words):
    case = Case(9)
    arguments = {
        "query_codes": case.queries,
        "gallery_codes": case.gallery,
        "query_labels": case.query_labels,
        "gallery_labels": case.gallery_labels,
    }
    with pytest.raises(BadInputError, match=words):
        count_distances(**(arguments | change))


def test_a_pair_whose_query_lacks_the_concept_is_refused():
    labels = Labels.from_sets([{"cat"}], CONCEPTS)
    with pytest.raises(BadInputError, match="query 0 does not contain 'dog'"):
        count_distances(
            np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8), labels, labels, pairs=np.array([[0, 1]])
        )


def test_labels_are_checked():
    with pytest.raises(BadInputError, match="accepted: cat, dog"):
        Labels.from_sets([{"cow"}], ("cat", "dog"))
    with pytest.raises(BadInputError, match="run from 0 to 2"):
        Labels.from_classes(np.array([0, 2]), ("cat", "dog"))
    with pytest.raises(BadInputError, match="twice"):
        Labels(("cat", "cat"), np.zeros((1, 2), bool))
    with pytest.raises(BadInputError, match="1 concept names for 2 columns"):
        Labels(("cat",), np.zeros((1, 2), bool))
    with pytest.raises(BadInputError, match="bool"):
        Labels(("cat",), np.zeros((1, 1)))
    assert Labels.from_sets([{"b"}, set(), {"a", "b"}]).matrix.tolist() == [[0, 1], [0, 0], [1, 1]]

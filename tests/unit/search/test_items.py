"""Items and questions: who is asked, who may be returned, and that counting in parts changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from hashreel.errors import BadInputError
from search.evaluation import (
    Exclusion,
    Items,
    Labels,
    Metric,
    ask,
    choose_queries,
    count_distances,
    count_questions,
    evaluate,
    evaluate_items,
    frame_items,
    parse_csv,
    picture_items,
    show_examples,
)
from search.evaluation.procedure import QUERIES_PER_PART

TRUTH = """video,start_s,end_s,concepts,role
a,0,2,sea,
a,1,3,sky,both
b,,,sea,query
b,5,6,,gallery
"""


def frames(truth_text: str):
    truth = parse_csv(truth_text.splitlines(keepends=True))
    videos = ["a"] * 5 + ["b"] * 4 + ["c"]
    times = np.array([0, 1000, 2000, 2999, 3000, 0, 0, 5000, 6000, 0], np.int64)
    codes = np.arange(10, dtype=np.uint8)[:, None]
    groups = np.array([0] * 5 + [1] * 4 + [2], np.int64)
    return frame_items(truth, videos, times, codes, groups)


def random_items(num_items: int, seed: int = 0) -> Items:
    rng = np.random.default_rng(seed)
    matrix = rng.random((num_items, 3)) < (0.2, 0.5, 0.7)
    return Items(
        keys=tuple(f"{i:05}" for i in range(num_items)),
        codes=rng.integers(0, 256, (num_items, 2), dtype=np.uint8),
        labels=Labels(("x", "y", "z"), matrix),
        groups=rng.integers(0, 9, num_items),
        is_gallery=np.ones(num_items, dtype=np.bool_),
    )


def test_covered_frames_become_items_with_the_roles_of_their_stretches():
    items, rows = frames(TRUTH)
    assert rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert items.keys == (
        *("a @ 0.000 s", "a @ 1.000 s", "a @ 2.000 s", "a @ 2.999 s"),
        *("b @ 0.000 s", "b @ 0.000 s #2", "b @ 5.000 s", "b @ 6.000 s"),
    )
    assert items.labels.concepts == ("sea", "sky")
    assert items.labels.matrix[:, 0].tolist() == [True, True, False, False, True, True, True, True]
    assert items.labels.matrix[:, 1].tolist() == [False, True, True, True, False, False, False, False]
    assert items.is_gallery.tolist() == [True] * 4 + [False, False, True, False]
    assert items.is_query is not None
    assert items.is_query.tolist() == [False, True, True, True, True, True, True, True]
    assert items.codes[:, 0].tolist() == rows.tolist()
    assert items.groups.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_listed_queries_are_asked_for_all_of_their_concepts_and_never_get_themselves():
    items, _ = frames(TRUTH)
    questions = ask(items)
    assert questions.query_rows.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert questions.gallery_rows.tolist() == [0, 1, 2, 3, 6]
    assert questions.pairs.tolist() == [[0, 0], [0, 1], [1, 1], [2, 1], [3, 0], [4, 0], [5, 0], [6, 0]]
    assert questions.exclusion.num_excluded().tolist() == [1, 1, 1, 0, 0, 1, 0]
    by_video = ask(items, exclude="video")
    assert by_video.exclusion.num_excluded().tolist() == [4, 4, 4, 1, 1, 1, 1]


def test_without_roles_queries_are_chosen_from_the_gallery():
    items = random_items(200)
    questions = ask(items, per_concept=7, seed=3)
    choice = choose_queries(items.labels, items.keys, per_concept=7, seed=3)
    assert questions.query_rows.tolist() == choice.rows.tolist()
    assert questions.pairs.tolist() == choice.pairs.tolist()
    assert questions.exclusion.num_excluded().tolist() == [1] * len(choice.rows)


def test_pictures_of_a_truth_are_items():
    truth = parse_csv(["picture,concepts,role\n", "p,sea,query\n", "q,sea; sky,\n", "r,,both\n"])
    items = picture_items(truth, np.zeros((3, 1), np.uint8))
    assert items.keys == ("p", "q", "r")
    assert (items.is_gallery.tolist(), items.is_query.tolist()) == ([False, True, True], [True, False, True])
    questions = ask(items)
    assert questions.query_rows.tolist() == [0]
    assert "1 listed queries contain no concept" in questions.warnings[0]


@pytest.mark.parametrize("exclude", ["self", "video"])
def test_counting_in_parts_is_counting_at_once(exclude):
    items = random_items(3 * QUERIES_PER_PART)
    questions = ask(items, per_concept=None, exclude=exclude)
    assert len(questions.query_rows) > 2 * QUERIES_PER_PART
    told: list[tuple[int, int]] = []
    parts = count_questions(items, questions, tell=lambda done, total: told.append((done, total)))
    groups = items.groups if exclude == "video" else np.arange(len(items))
    whole = count_distances(
        items.codes[questions.query_rows],
        items.codes,
        items.labels.take(questions.query_rows),
        items.labels,
        pairs=questions.pairs,
        exclusion=Exclusion(groups[questions.query_rows], groups),
    )
    for name in ("pairs", "items", "relevant", "sharing", "gallery_size", "total_relevant", "total_sharing"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name)), name
    assert parts.is_complete
    assert told == [(start, len(questions.query_rows)) for start in range(0, len(questions.query_rows), 512)]
    run = evaluate_items(items, questions, name="run", cutoffs=(3, 10))
    expected = evaluate(whole, items.labels.concepts, [items.keys[i] for i in questions.query_rows])
    metric = Metric("map", 10, "minKR")
    assert run.values(metric).tolist() == expected.values(metric).tolist()


def test_examples_show_the_nearest_allowed_items_and_whether_they_are_right():
    items = random_items(60)
    questions = ask(items, per_concept=5, exclude="video")
    run = evaluate_items(items, questions, name="run", cutoffs=(10,))
    examples = show_examples(run, items, questions, Metric("map", 10, "minKR"), hits=4)
    assert [e.concept for e in examples] == ["x"] * 4 + ["y"] * 4 + ["z"] * 4
    for example in examples:
        query = items.keys.index(example.query_key)
        distances = np.bitwise_count(items.codes ^ items.codes[query]).sum(axis=1)
        allowed = [i for i in range(60) if items.groups[i] != items.groups[query]]
        nearest = sorted(allowed, key=lambda i: (distances[i], i))[:4]
        assert [hit.key for hit in example.hits] == [items.keys[i] for i in nearest]
        assert [hit.distance for hit in example.hits] == distances[nearest].tolist()
        column = items.labels.concepts.index(example.concept)
        assert [hit.is_relevant for hit in example.hits] == items.labels.matrix[nearest, column].tolist()
    assert len(show_examples(run, items, questions, Metric("map", 10, "minKR"), limit=5)) == 5


def test_what_cannot_be_asked_is_said():
    with pytest.raises(BadInputError, match="none of the 10 key-frames lies"):
        frames("video,concepts\nz,sea\n")
    items, _ = frames("video,concepts,role\na,sea,query\n")
    with pytest.raises(BadInputError, match="the gallery is empty"):
        ask(items)
    silent, _ = frames("video,concepts,role\na,sea,gallery\nb,,query\n")
    with pytest.raises(BadInputError, match="no listed query contains a concept"):
        ask(silent)
    many = random_items(50)
    with pytest.raises(BadInputError, match="exclude is 'clip'"):
        ask(many, exclude="clip")
    with pytest.raises(BadInputError, match="at most 10 are evaluated"):
        evaluate_items(many, ask(many), name="run", max_questions=10)


def test_counting_ends_when_told_so():
    items = random_items(50)

    def tell(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluate_items(items, ask(items), name="run", tell=tell)

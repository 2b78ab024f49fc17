"""Scores from the project's own indexes equal those from the codes, to the last printed digit."""

from __future__ import annotations

import numpy as np
import pytest

from indexer import make_index
from search.evaluation import (
    Exclusion,
    Labels,
    choose_queries,
    count_answers,
    count_distances,
    evaluate,
    fetch_answers,
    metrics_for,
    run_to_dict,
)

NUM_VIDEOS, FRAMES = 30, 40


@pytest.mark.parametrize("kind", ["flat", "exact"])
@pytest.mark.parametrize("leave_out", ["itself", "its video"])
def test_an_index_and_its_codes_give_the_same_scores(kind, leave_out):
    rng = np.random.default_rng(3)
    videos = np.repeat(np.arange(NUM_VIDEOS), FRAMES)
    ids = (videos.astype(np.int64) << 32) + np.tile(np.arange(FRAMES), NUM_VIDEOS)
    centres = rng.random((NUM_VIDEOS, 48)) < 0.5
    codes = np.packbits(centres[videos] ^ (rng.random((len(ids), 48)) < 0.08), axis=1, bitorder="little")
    kinds = rng.integers(0, 4, NUM_VIDEOS)
    labels = Labels.from_classes(kinds[videos], ("sky", "sea", "dog", "car"))
    choice = choose_queries(labels, ids.tolist(), per_concept=15)
    groups = videos if leave_out == "its video" else np.arange(len(ids))
    exclusion = Exclusion(groups[choice.rows].astype(np.int64), groups.astype(np.int64))
    queries = labels.take(choice.rows)
    index = make_index(kind, 48)
    index.add(ids, codes)
    answers = fetch_answers(index, codes[choice.rows], 50 + exclusion.num_excluded())
    fetched = count_answers(answers, ids, queries, labels, bits=48, pairs=choice.pairs, exclusion=exclusion)
    whole = count_distances(codes[choice.rows], codes, queries, labels, pairs=choice.pairs, exclusion=exclusion)
    index.close()
    keys = [str(i) for i in ids[choice.rows]]
    runs = [
        run_to_dict(evaluate(counts, labels.concepts, keys, metrics=metrics_for((10, 50))))
        for counts in (whole, fetched)
    ]
    for part in ("scores", "sharing_scores"):
        for key, columns in runs[0][part].items():
            for name, column in columns.items():
                if column is not None:
                    assert runs[1][part][key][name] == pytest.approx(column, abs=1e-13), (key, name)

"""What is particular to the exact kind: folding, and what happens when it fails."""

import numpy as np
import pytest
from index_reference import Reference, assert_equals_reference, random_codes

from indexer.exact import ExactIndex


def grown(index, count=400, bits=48):
    reference = Reference(bits)
    codes = random_codes(np.random.default_rng(0), count, bits, spread=60)
    for start in range(0, count, 50):
        ids = np.arange(start, start + 50)
        index.add(ids, codes[start : start + 50])
        reference.add(ids, codes[start : start + 50])
    return reference, codes


def test_the_delta_is_folded_in_the_background():
    index = ExactIndex(48, delta_rows=100, delta_share=0.0, table_rows=1)
    reference, codes = grown(index)
    index.close()
    status = index.status()
    assert status["folds"] >= 1
    assert status["delta_rows"] <= 100
    assert status["tables"] == 3
    assert_equals_reference(index, reference, codes[:3])


def test_many_dead_rows_start_a_fold():
    index = ExactIndex(48, dead_share=0.3)
    index.add(np.arange(5_000), random_codes(np.random.default_rng(0), 5_000, 48))
    index.delete_range(0, 1_400)
    index.close()
    assert index.status()["tombstones"] == 1_400
    index.delete_range(1_400, 1_600)
    index.close()
    assert index.status()["tombstones"] == 0
    assert len(index) == 3_400


def test_without_background_only_compaction_folds():
    index = ExactIndex(48, delta_rows=100, delta_share=0.0, background=False)
    grown(index)
    assert index.status()["folds"] == 0
    index.compact()
    assert index.status()["folds"] == 1
    assert index.status()["delta_rows"] == 0


def test_a_fold_that_fails_changes_nothing_and_is_not_tried_all_the_time(monkeypatch, caplog):
    tried = []

    def refuse(*args):
        tried.append(args)
        raise MemoryError("no room")

    monkeypatch.setattr("indexer.exact.fold", refuse)
    index = ExactIndex(48, delta_rows=100, delta_share=0.0)
    reference, codes = grown(index)
    index.close()
    assert 1 <= len(tried) <= 3
    assert "folding" in caplog.text
    assert_equals_reference(index, reference, codes[:3])
    with pytest.raises(MemoryError):
        index.compact()
    monkeypatch.undo()
    index.compact()
    assert index.status()["delta_rows"] == 0
    assert_equals_reference(index, reference, codes[:3])


@pytest.mark.parametrize("bits", [65, 128, 256])
def test_codes_of_more_than_a_word_are_scanned(bits):
    index = ExactIndex(bits, table_rows=1, background=False)
    reference, codes = grown(index, bits=bits)
    index.compact()
    assert index.status()["tables"] == 0
    assert_equals_reference(index, reference, codes[:3], (1, 10, 500), (0, bits // 2, bits))

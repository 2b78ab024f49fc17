"""Saved indexes: what is read back, and what is refused."""

import json
import threading

import numpy as np
import pytest
from index_reference import Reference, assert_equals_reference, random_codes

from hashreel.errors import BadInputError
from indexer import make_index
from indexer.exact import ExactIndex
from indexer.index import load_index

KINDS = {"flat": {}, "exact": {"table_rows": 1, "probe_effort": 1e9, "background": False}}


def saved(kind, folder, bits=48):
    rng = np.random.default_rng(0)
    index, reference = make_index(kind, bits, **KINDS[kind]), Reference(bits)
    ids, codes = np.arange(3_000), random_codes(rng, 3_000, bits, spread=200)
    index.add(ids[:2_500], codes[:2_500])
    index.compact()
    index.add(ids[2_500:], codes[2_500:])
    index.delete_range(100, 300)
    index.delete_range(2_600, 2_650)
    reference.add(ids, codes)
    reference.delete_range(100, 300)
    reference.delete_range(2_600, 2_650)
    index.save(folder)
    return index, reference


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("bits", [48, 128])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_index_answers_and_takes_writes(kind, bits, mapped, tmp_path):
    index, reference = saved(kind, tmp_path, bits)
    loaded = load_index(tmp_path, mapped=mapped, **KINDS[kind])
    queries = reference.codes[:3]
    without_past = {"folds": None}
    assert loaded.status() | without_past == index.status() | without_past
    assert_equals_reference(loaded, reference, queries, (10, 5_000), (8,))
    new = random_codes(np.random.default_rng(1), 50, bits)
    for target in (loaded, reference):
        target.delete_range(0, 20)
        target.add(np.arange(120, 170), new)
    assert_equals_reference(loaded, reference, queries, (10, 5_000), (8,))
    loaded.compact()
    assert_equals_reference(loaded, reference, queries, (10, 5_000), (8,))
    # The files are as they were: another reader finds the first state.
    assert len(load_index(tmp_path, **KINDS[kind])) == len(index)


def test_auto_takes_what_it_could_have_become(tmp_path):
    for kind in KINDS:
        index, reference = saved(kind, tmp_path / kind)
        loaded = load_index(tmp_path / kind, "auto")
        loaded.close()  # the first time on a machine, kernels are compiled meanwhile
        assert loaded.status()["now"] == kind
        assert_equals_reference(loaded, reference, reference.codes[:2], (10,))
        assert len(loaded) == len(index)


@pytest.mark.parametrize("is_compact", [False, True])
@pytest.mark.parametrize("bits", [48, 128])
def test_flat_answers_from_an_exact_index_whose_kernels_are_being_compiled(monkeypatch, tmp_path, bits, is_compact):
    index, reference = saved("exact", tmp_path, bits)
    if is_compact:
        index.compact()
        index.save(tmp_path)
    compiled, warm_up = threading.Event(), ExactIndex.warm_up

    def compile_slowly(self):
        compiled.wait()
        warm_up(self)

    monkeypatch.setattr(ExactIndex, "warm_up", compile_slowly)
    monkeypatch.setattr("indexer.auto.WARM_UP_S", 0.01)
    loaded = load_index(tmp_path, "auto", exact=KINDS["exact"])
    assert (loaded.status()["now"], loaded.status()["upgrading"]) == ("flat", True)
    queries = reference.codes[:3]
    assert_equals_reference(loaded, reference, queries, (10, 5_000), (8,), np.array([[50, 2_700]]))
    new = random_codes(np.random.default_rng(1), 50, bits)
    for target in (loaded, reference):
        target.delete_range(0, 20)
        target.add(np.arange(120, 170), new)
    assert_equals_reference(loaded, reference, queries, (10, 5_000), (8,))
    compiled.set()
    loaded.close()
    assert (loaded.status()["now"], loaded.status()["upgrading"]) == ("exact", False)
    assert_equals_reference(loaded, reference, queries, (10, 5_000), (8,))


def test_a_frozen_index_stays_as_it_is():
    index = make_index("exact", 48, background=False)
    codes = random_codes(np.random.default_rng(0), 300, 48)
    index.add(np.arange(200), codes[:200])
    frozen = index.frozen()
    index.delete_range(0, 150)
    index.add(np.arange(500, 600), codes[200:])
    index.compact()
    frozen.close()
    assert len(frozen) == 200
    assert sorted(frozen.search(codes[:1], 1_000)[1][0].tolist()) == list(range(200))


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="no index"):
        load_index(tmp_path)
    saved("flat", tmp_path / "flat")
    with pytest.raises(BadInputError, match="'flat'"):
        load_index(tmp_path / "flat", "exact")
    header = tmp_path / "flat" / "index.json"
    other = json.loads(header.read_text()) | {"kind": "ivf"}
    header.write_text(json.dumps(other))
    with pytest.raises(BadInputError, match="not flat or exact"):
        load_index(tmp_path / "flat", "auto")
    header.write_text(json.dumps(other | {"format": 99}))
    with pytest.raises(BadInputError, match="99"):
        load_index(tmp_path / "flat")


@pytest.mark.parametrize("mapped", [False, True])
def test_a_torn_or_missing_array_is_refused(tmp_path, mapped):
    saved("flat", tmp_path)
    path = tmp_path / "codes.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match="no index"):
        load_index(tmp_path, mapped=mapped)
    path.unlink()
    with pytest.raises(BadInputError, match="no index"):
        load_index(tmp_path, mapped=mapped)

"""The GPU kind: exact where there is a GPU, a clear error where there is none.

How it puts ties, filters and tombstones right is tested everywhere, by the kind "engine" of the shared suite.
"""

import numpy as np
import pytest
from index_reference import Reference, assert_equals_reference, random_codes

from hashreel.errors import UnavailableError
from indexer import make_index
from indexer.gpu import num_gpus


@pytest.mark.skipif(num_gpus() > 0, reason="this machine has a GPU")
def test_without_a_gpu_it_says_what_to_do():
    with pytest.raises(UnavailableError, match="kind auto"):
        make_index("gpu", 48)


@pytest.mark.gpu
@pytest.mark.skipif(num_gpus() == 0, reason="FAISS finds no GPU")
@pytest.mark.parametrize("is_sharded", [False, True])
@pytest.mark.parametrize("bits", [48, 128])
def test_answers_equal_brute_force(bits, is_sharded):
    rng = np.random.default_rng(0)
    index = make_index("gpu", bits, engine_rows=1_000, is_sharded=is_sharded)
    reference = Reference(bits)
    ids, codes = np.arange(20_000), random_codes(rng, 20_000, bits, spread=2_000)
    index.add(ids, codes)
    index.close()
    assert index.status()["engine_rows"] == 20_000
    index.delete_range(3_000, 4_000)
    reference.add(ids, codes)
    reference.delete_range(3_000, 4_000)
    assert_equals_reference(index, reference, codes[:5], (1, 10, 2_000, 15_000), (bits // 4,))

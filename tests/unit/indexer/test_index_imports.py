"""What importing the indexes costs: nothing heavy before a kind is made."""

import subprocess
import sys

import pytest

HEAVY = {"faiss", "numba", "redis", "torch"}


@pytest.mark.parametrize("module", ["indexer", "indexer.index"])
def test_nothing_heavy_is_imported_before_a_kind_is_made(module):
    code = f"import sys, {module}; from indexer import make_index; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)


def test_the_flat_kind_needs_no_numba():
    code = "import sys; from indexer import make_index; make_index('flat', 48); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "faiss" in loaded
    assert "numba" not in loaded

"""The random lives of ``test_index_states`` find an index whose tombstones, tie rule or offsets are wrong.

Each mutant is a copy of the package with one line changed, run in a process of its own.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import indexer

HERE = Path(__file__).parent
SUPPORT = HERE.parents[1] / "support"

LIVES = """
import sys
from hypothesis import Phase, settings
# The first life that goes wrong will do; it need not be made small.
settings.register_profile("mutants", phases=[Phase.generate], database=None, report_multiple_bugs=False)
settings.load_profile("mutants")
import indexer
assert indexer.__file__.startswith(sys.argv[2]), indexer.__file__
from test_index_states import run_life
print(run_life(sys.argv[1], lives=40, steps=40), "steps")
"""


@dataclass(frozen=True)
class Mutant:
    """A line of a file, and what a mistake would make of it; without a file, nothing is changed."""

    kind: str
    file: str = ""
    line: str = ""
    instead: str = ""


MUTANTS = {
    "exact: of equal distances the larger id": Mutant(
        "exact with tables", "kernels/heap.py", "and key < other_key)", "and key > other_key)"
    ),
    "exact: ids off by one after the first run": Mutant(
        "exact with tables",
        "kernels/rows.py",
        "return first_ids[run] + (row - first_rows[run])",
        "return first_ids[run] + (row - first_rows[run]) + (run > 0)",
    ),
    "exact: what is deleted while a fold runs comes back": Mutant(
        "exact with tables", "exact.py", "for ranges in self._deleted_meanwhile or ():", "for ranges in ():"
    ),
    "flat: a deleted row keeps its bit": Mutant("flat", "rowstore.py", "clear_bits(alive, rows)\n            ", ""),
    "flat: of a tie whichever come last": Mutant(
        "flat",
        "ties.py",
        "band if len(band) == room else np.partition(band, room - 1)[:room]",
        "band[len(band) - room :]",
    ),
    "flat: rows counted from the wrong place": Mutant(
        "flat", "runs.py", "return self.first_ids[run] + (rows - self.first_rows[run])", "return self.first_ids[run]"
    ),
}


def run_lives(folder: Path, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    package = folder / "indexer"
    shutil.copytree(Path(indexer.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    if mutant.file:
        text = (package / mutant.file).read_text()
        assert text.count(mutant.line) == 1, "the line to change is not there any more"
        (package / mutant.file).write_text(text.replace(mutant.line, mutant.instead))
    search = os.pathsep.join(map(str, (folder, SUPPORT, HERE, *filter(None, sys.path))))
    environment = {**os.environ, "PYTHONPATH": search, "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-c", LIVES, mutant.kind, str(folder)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_random_lives_find_a_mutant(tmp_path: Path, mutant: Mutant) -> None:
    outcome = run_lives(tmp_path, mutant)
    assert outcome.returncode != 0, outcome.stdout
    # It was a comparison with brute force that failed, not the start of the process.
    assert "in run_life" in outcome.stderr, outcome.stderr[-2000:]
    assert "AssertionError" in outcome.stderr, outcome.stderr[-2000:]


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["flat", "exact with tables"])
def test_random_lives_find_nothing_in_an_unchanged_copy(tmp_path: Path, kind: str) -> None:
    outcome = run_lives(tmp_path, Mutant(kind))
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert "steps" in outcome.stdout

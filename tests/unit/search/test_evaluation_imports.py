from __future__ import annotations

import subprocess
import sys


def test_evaluation_loads_numpy_and_the_errors_only():
    code = (
        "import sys, search.evaluation\n"
        "ours = [m for m in sys.modules if m.split('.')[0] in ('encoder', 'indexer', 'workers', 'hashreel')]\n"
        "print(sorted(m for m in ours if m not in ('hashreel', 'hashreel.errors', 'hashreel.spreadsheets')))\n"
        "heavy = 'torch faiss redis celery fastapi pandas scipy sklearn numba PIL matplotlib httpx pydantic'\n"
        "print(sorted(set(heavy.split()) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]

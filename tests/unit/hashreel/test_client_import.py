"""What ``from hashreel import Client`` loads: no engine, and nothing that a user's own ``search.py`` could break."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = {
    "torch", "faiss", "numba", "celery", "fastapi", "uvicorn", "redis", "numpy", "PIL", "pandas",
    "encoder", "indexer", "workers", "search", "pydantic_settings",
}  # fmt: skip


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_loads_no_engine(tmp_path):
    loaded = run("import sys; from hashreel import Client; Client().close(); print(*sys.modules)", tmp_path)
    assert HEAVY & {name.partition(".")[0] for name in loaded.split()} == set()


def test_a_user_s_own_modules_do_not_break_it(tmp_path):
    for name in ("search", "encoder", "indexer", "workers", "client", "errors"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the user\\'s own')")
    assert run("from hashreel import AsyncClient, Client, Hit, Job; print(Client.__name__)", tmp_path) == "Client\n"

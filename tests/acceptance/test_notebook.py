"""The newcomer's notebook runs from top to bottom, and shows hits with pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_search.ipynb"


@pytest.mark.filterwarnings("ignore")  # of Jupyter's own parts
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "store the notebook without outputs"
    NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("data:image/jpeg" in html(output) for output in shown), "hits show no thumbnails"
    assert any("painted-2.mp4" in output.get("text", "") and "score" in output.get("text", "") for output in shown)
    assert any("SHA256SUMS" in output.get("data", {}).get("text/plain", "") for output in shown)


def html(output: dict[str, Any]) -> str:
    return str(output.get("data", {}).get("text/html", ""))

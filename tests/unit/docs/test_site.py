"""The documentation builds without a warning, and its reference is complete."""

from __future__ import annotations

import html
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hashreel.cli import COMMANDS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site."""
    pytest.importorskip("mkdocstrings", reason="the site needs [docs]")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_reference_is_complete(site: Path) -> None:
    from hashreel.settings import Settings
    from search.http.app import make_app

    commands = (site / "reference" / "cli" / "index.html").read_text()
    assert all(f"Usage: hashreel {name}" in commands for name in COMMANDS)
    http = html.unescape((site / "reference" / "http" / "index.html").read_text())
    for path, operations in make_app(None, None, Settings()).openapi()["paths"].items():  # type: ignore[arg-type]
        for method in operations:
            assert f"{method.upper()} {path}" in http
    python = (site / "reference" / "python" / "index.html").read_text()
    assert all(name in python for name in ("search_many", "load_model", "make_index", "expected_average_precision"))


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    page = (site / "index.html").read_text()
    for tag in ("<script src=", "<link rel=stylesheet href=", '<link rel="stylesheet" href='):
        assert f'{tag}"http' not in page
        assert f"{tag}http" not in page


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    def named(node: object) -> set[str]:
        if isinstance(node, str):
            return {node}
        values = node.values() if isinstance(node, dict) else node
        return set().union(*map(named, values))  # type: ignore[arg-type]

    wanted = named(yaml.safe_load(text)["nav"])
    assert wanted <= pages

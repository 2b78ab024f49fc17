"""Every ask on the page names tests that exist, or says that it is not answered."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ASKED = {
    "Hasher-Matcher-Actioner": {1609, 1681, 1813, 1827, 1873, 1875},
    "clip-retrieval": {30, 108, 213, 254, 265, 304, 368},
    "bootcamp": {658, 1323},
    "vitrivr engine": {86},
    "Cineast": {115, 185},
    "DeepHash-pytorch": {33},
    "Immich": {5996, 9794},
    "Czkawka": {1440, 2035},
    "DeepVideoAnalytics": {41, 110},
}


def test_no_ask_is_left_out() -> None:
    page = (ROOT / "docs" / "user-asks.md").read_text()
    found: dict[str, set[int]] = {}
    for project, numbers in re.findall(r"^\| .+? \(([A-Za-z -]+?) ((?:\d+(?:, )?)+)\) \| ", page, re.MULTILINE):
        found.setdefault(project, set()).update(map(int, numbers.split(", ")))
    assert found == ASKED


def test_every_ask_has_a_test_or_says_that_it_is_not_answered() -> None:
    page = (ROOT / "docs" / "user-asks.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 23
    for asked, answer, *tests in rows:
        assert re.search(r"\([A-Z]?[A-Za-z -]+ \d+", asked), asked
        named = re.findall(r"`(tests/[^`:]+)::(test_\w+)`", tests[0])
        assert named or "not answered" in answer, asked
        for file, name in named:
            assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"

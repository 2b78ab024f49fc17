"""Every ask on the page names tests that exist, or says that it is not answered."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


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

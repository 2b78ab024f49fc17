"""The tables of docs/sizing.md are what the command prints, from figures that stand in other pages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks import sizing

DOCS = Path(__file__).parents[3] / "docs"


def test_the_tables_are_what_the_command_prints() -> None:
    command = [sys.executable, "-m", "benchmarks.sizing"]
    printed = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, check=True).stdout
    (stands,) = re.findall(
        r"<!-- python -m benchmarks.sizing -->\n(.*)<!-- end -->", (DOCS / "sizing.md").read_text(), re.S
    )
    assert stands == printed, "put what `python -m benchmarks.sizing` prints into docs/sizing.md"


def test_the_sums_are_right() -> None:
    found = {need.name: need.values for need in sizing.needs([10**9], 48, replicas=3)}
    assert found["codes alone"] == [f"{6e9 / 2**30:.1f} GiB"]
    assert found["3 searchers, disk for two snapshots each"] == [f"{36.1e9 * 6 / 2**30:.0f} GiB"]
    assert found["encoding, core-hours on a CPU"] == ["1,257"]

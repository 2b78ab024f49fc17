"""Fixtures of every test, and the rule for skips.

Tests marked ``shared`` (or using the ``shared`` fixture) read the data folder named by HASHREEL_SHARED. Without that
variable they skip with a reason; with it, a missing file is an error, so that CI cannot pass by skipping.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

SECOND_TRY = {"acceptance", "browser", "integration"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run the long campaigns (marker: full)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Browsers and whole stacks share the machine with whatever else runs there. One that fails gets a second try,
    # which the summary tells: a test that needs it twice is to be mended.
    for item in items:
        if SECOND_TRY & set(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))
    if config.getoption("--full"):
        return
    skip = pytest.mark.skip(reason="long campaign; scripts/test --full runs it")
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what needed a second try, and what was skipped and why, counted by reason."""
    _tell_second_tries(terminalreporter)
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section("skips by reason")
        for reason, number in reasons.most_common():
            terminalreporter.write_line(f"{number:5}  {reason}")


def _tell_second_tries(reporter: pytest.TerminalReporter) -> None:
    failed_first = reporter.stats.get("rerun", [])
    if failed_first:
        reporter.section("failed at the first try")
        for report in failed_first:
            reporter.write_line(f"{report.nodeid}\n{report.longreprtext[-1500:]}\n")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data (cifar10/, scenes6/, videos/ ...)."""
    folder = os.environ.get("HASHREEL_SHARED")
    if not folder:
        pytest.skip("HASHREEL_SHARED names no data folder")
    path = Path(folder)
    if not (path / "videos").is_dir():
        pytest.fail(f"HASHREEL_SHARED={folder} has no videos/ folder")
    return path

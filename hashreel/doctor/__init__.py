"""Whether this machine can run Hashreel: each check says what it found and, if that is a problem, what to do."""

from __future__ import annotations

from hashreel.doctor.checks import check_all, check_start
from hashreel.doctor.findings import Finding, Level, worst

__all__ = ["Finding", "Level", "check_all", "check_start", "worst"]

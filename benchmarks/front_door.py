"""CPU time of `from hashreel import Client` and of `hashreel --help` (exit code 1 if a bar is missed).

python benchmarks/front_door.py
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

RUNS = 9
BARS = {
    "from hashreel import Client": (["-c", "from hashreel import Client"], 0.45),
    "hashreel --help": (["-m", "hashreel", "--help"], 0.30),
}


def cpu_seconds(arguments: list[str]) -> float:
    """Return user and system time of one run in a fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-P", *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure, print a table, and return the exit code."""
    missed = 0
    print("| what | median CPU s | bar | |\n| --- | --- | --- | --- |")
    for name, (arguments, bar) in BARS.items():
        cpu_seconds(arguments)  # writes the bytecode
        median = statistics.median(cpu_seconds(arguments) for _ in range(RUNS))
        missed += median > bar
        print(f"| `{name}` | {median:.3f} | ≤ {bar} | {'met' if median <= bar else 'MISSED'} |")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

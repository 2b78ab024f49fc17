"""Every figure of the gallery with one command: exact search, rivals, batches, growth, cold start, memory.

    python -m benchmarks.gallery [--quick] [--only search,rivals] [--docs docs]

Runs the other benchmarks one after the other, each in a process of its own, and writes their tables to
DOCS/gallery.md and a plot to DOCS/images/gallery.svg. What was measured before stays in the report, so that --only
repeats a part. Exit code 1 if any bar is missed. The galleries of 100 million codes need 12 GB of free memory. With
--quick everything runs on small galleries: that shows that all works, its figures say nothing and missed bars are no
failure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PLOT = "images/gallery.svg"


@dataclass(frozen=True)
class Part:
    """A benchmark: title, module, and its arguments in earnest and in haste."""

    title: str
    module: str
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()


PARTS = {
    "table": Part("Exact top-10, one query at a time", "exact_table", ("--large", "100000000"), ("--small",)),
    "search": Part(
        "Exact search against FAISS flat: bars 1, 2 and 3",
        "search_bars",
        ("--large", "100000000"),
        ("--codes", "300000", "--append", "200000", "--rate", "100000"),
    ),
    "rivals": Part("Approximate and other rivals", "rivals", ("--plot", PLOT), ("--codes", "30000", "--plot", PLOT)),
    "freshness": Part("Growing under searches over HTTP: bar 3", "freshness", (), ("--videos", "300", "--grow", "100")),
    "memory": Part("Memory of Redis: bar 8", "redis_memory", (), ("--videos", "100")),
    "cold": Part("Cold start: bar 10", "cold_start", (), ("--videos", "1000", "--frames", "300")),
}


def run(part: Part, docs: Path, is_quick: bool) -> dict[str, object]:
    """Run a benchmark; return what it printed, its exit code and the seconds it took."""
    arguments = [str(docs / PLOT) if a == PLOT else a for a in (part.quick if is_quick else part.arguments)]
    begun = time.monotonic()
    command = [sys.executable, "-m", f"benchmarks.{part.module}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, flush=True)
    return {
        "output": done.stdout.strip(),
        "code": done.returncode,
        "seconds": round(time.monotonic() - begun),
        "command": " ".join(["python", *command[1:3], *(part.quick if is_quick else part.arguments)]),
        "is_quick": is_quick,
    }


def machine() -> str:
    """Return what the figures were measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "name" in line),
        platform.processor(),
    )
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, Python {platform.python_version()}"


def as_markdown(results: dict[str, dict[str, object]]) -> str:
    """Return the report."""
    lines = ["# Gallery benchmarks", "", f"Written by `python -m benchmarks.gallery` on {machine()}.", ""]
    for name, part in PARTS.items():
        if name in results:
            found = results[name]
            haste = ", small galleries: these figures say nothing" if found["is_quick"] else ""
            lines += [f"## {part.title}", "", f"`{found['command']}` ({found['seconds']} s{haste})", ""]
            lines += [str(found["output"]), ""]
    if "rivals" in results:
        lines += [f"![Recall against time]({PLOT})", ""]
    return "\n".join(lines)


def has_failed(result: dict[str, object]) -> bool:
    """Return whether a part broke down or, unless in haste, missed a bar."""
    return bool(result["code"]) and not (result["is_quick"] and "MISSED" in str(result["output"]))


def main() -> int:
    """Run the parts, write the report, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where gallery.md and its plot go")
    parser.add_argument("--quick", action="store_true", help="small galleries, to see that everything works")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    options = parser.parse_args()
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"--only names {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    kept = options.docs / ".gallery.json"
    (options.docs / PLOT).parent.mkdir(parents=True, exist_ok=True)
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for name in options.only:
        print(f"# {PARTS[name].title}\n", flush=True)
        results[name] = run(PARTS[name], options.docs, options.quick)
        kept.write_text(json.dumps(results, indent=1))
        (options.docs / "gallery.md").write_text(as_markdown(results), encoding="utf-8")
    failed = [name for name in options.only if has_failed(results[name])]
    print(f"{'missed or failed: ' + ', '.join(failed) if failed else 'done'}; {options.docs}/gallery.md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

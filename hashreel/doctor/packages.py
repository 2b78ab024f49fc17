"""Checks of the installed packages, without importing them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from hashreel.doctor.findings import Finding, error, ok, skipped

__all__ = ["check_packages"]

FAISS = ("faiss-cpu", "faiss-gpu")
# Shown even when all is well: what a report of a problem should name.
SHOWN = ("torch", "onnxruntime", "av", "numba", "redis", "celery", "fastapi")


def check_packages() -> Iterator[Finding]:
    """Yield findings about versions: what the engine needs, and that there is one FAISS."""
    yield _faiss()
    yield from _required()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _faiss() -> Finding:
    found = [f"{name} {version}" for name in FAISS if (version := _version(name))]
    if len(found) == 1:
        return ok("faiss-package", found[0])
    if not found:
        return error("faiss-package", "no FAISS is installed", "pip install 'hashreel[cpu]' (or [gpu])")
    return error(
        "faiss-package",
        f"{' and '.join(found)} are both installed; they are one module and overwrite each other",
        "pip uninstall faiss-cpu faiss-gpu, then install one of hashreel[cpu] and hashreel[gpu]",
    )


def _required() -> Iterator[Finding]:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield skipped("packages", "the engine is not installed: this is a client")
        return
    wrong = False
    for text in metadata.requires("hashreel") or ():
        requirement = Requirement(text)
        if requirement.name == "hashreel" or (
            requirement.marker is not None and not requirement.marker.evaluate({"extra": "engine"})
        ):
            continue
        version = _version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            wrong = True
            have = f"{requirement.name} {version}" if version else f"{requirement.name} is not installed"
            wanted = f"{requirement.name}{requirement.specifier}"
            yield error("packages", f"{have}; needed: {wanted}", f"pip install '{wanted}'")
    if not wrong:
        yield ok("packages", ", ".join(f"{name} {version}" for name in SHOWN if (version := _version(name))))

"""Write deploy/constraints.txt: the versions of this virtual environment, for what hashreel[cpu] needs."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
# Extras that an image may have, as far as they are installed here.
OPTIONAL = ("gs", "s3", "sftp", "traces")
HEAD = "# The versions that the tests ran with; the images install these. Made by scripts/make_constraints.py.\n"


def closure() -> dict[str, str]:
    """Return the version of every package that is needed, by its name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    todo = [*project["dependencies"], *extras["engine"], *extras["cpu"]]
    todo += [text for name in OPTIONAL for text in extras[name]]
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement = Requirement(todo.pop())
        name = requirement.name.lower().replace("_", "-")
        for extra in {"", *requirement.extras}:
            if name == "hashreel" or (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                # A local part, such as +cpu, tells the build; an index decides which one there is.
                found[name] = metadata.version(name).split("+")[0]
                needs = metadata.requires(name) or ()
            except metadata.PackageNotFoundError:
                continue
            todo += [text for text in needs if _applies(text, extra)]
    # The same release under another name, which cannot be installed beside it.
    return found | {"faiss-gpu": found["faiss-cpu"]}


def _applies(text: str, extra: str) -> bool:
    marker = Requirement(text).marker
    return marker is None or marker.evaluate({"extra": extra})


if __name__ == "__main__":
    lines = "".join(f"{name}=={version}\n" for name, version in sorted(closure().items()))
    (ROOT / "deploy" / "constraints.txt").write_text(HEAD + lines)

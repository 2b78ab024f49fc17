"""Write the parts of docs/ that follow from the code (run it in the virtual environment)."""

from __future__ import annotations

import json
import typing
from pathlib import Path

from annotated_types import Ge, Gt, Le, Lt

from hashreel.settings import ENV_PREFIX, Settings

DOCS = Path(__file__).parents[1] / "docs"

HEAD = """# Configuration

Every setting of the service, the workers and the embedded stack is an environment variable; lists and dictionaries are
JSON. The commands' own options win over them. Clients read `HASHREEL_URL` and `HASHREEL_DATA`; `scripts/setup` reads
`HASHREEL_PYTHON` (the interpreter to use).
This page is made by `scripts/make_docs.py`.

| variable | default | accepted | what it does |
| --- | --- | --- | --- |
"""


def accepted(name: str) -> str:
    """Return the values that a setting takes, in words."""
    field = Settings.model_fields[name]
    if typing.get_origin(field.annotation) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(field.annotation))
    bounds = []
    for rule in field.metadata:
        for kind, sign, attribute in ((Ge, "≥", "ge"), (Gt, ">", "gt"), (Le, "≤", "le"), (Lt, "<", "lt")):
            if isinstance(rule, kind):
                bounds.append(f"{sign} {getattr(rule, attribute)}")
    return " and ".join(bounds)


def configuration() -> str:
    """Return docs/configuration.md."""
    defaults = Settings.model_construct().model_dump(mode="json")
    rows = []
    for name, field in Settings.model_fields.items():
        value = defaults[name]
        default = "" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"
        rows.append(f"| `{ENV_PREFIX}{name.upper()}` | {default} | {accepted(name)} | {field.description} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (DOCS / "configuration.md").write_text(configuration())

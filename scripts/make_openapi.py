"""Write docs/openapi.json, the wire format that tests guard (run it in the virtual environment).

A change of it is a change for every client: add what is optional, and leave what is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from hashreel.settings import Settings
from search.http import make_app
from search.ports import EnginePort, QueuePort

STORED = Path(__file__).parents[1] / "docs" / "openapi.json"


def openapi() -> dict[str, Any]:
    """Return the document of an app; neither engine nor queue has a say in it."""
    return make_app(cast(EnginePort, None), cast(QueuePort, None), Settings()).openapi()


if __name__ == "__main__":
    STORED.write_text(json.dumps(openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")

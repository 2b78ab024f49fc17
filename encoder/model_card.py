"""The model card: what a person should know before using a model, from its manifest."""

from __future__ import annotations

import json
from typing import Any

from encoder.model_files import Manifest

__all__ = ["model_card"]


def model_card(manifest: Manifest, notes: str = "") -> str:
    """Return the model card in Markdown.

    Args:
        manifest: of the model.
        notes: paragraphs on how it was measured and where it fails, put before the data.
    """
    parts = [f"# {manifest.name}", _summary(manifest)]
    if notes:
        parts.append(notes.strip())
    parts += [_data(manifest), _training(manifest)]
    return "\n\n".join(parts) + "\n"


def _summary(manifest: Manifest) -> str:
    transform = manifest.transform
    lines = [
        f"Turns a picture into a {manifest.bits}-bit code; similar pictures get codes at a small Hamming distance.",
        "",
        f"- network: `{manifest.architecture['kind']}` on trunk `{manifest.trunk['name']}`, "
        f"transform `{transform['kind']}` to {transform['size']} × {transform['size']} pixels",
        f"- licence of the weights: {manifest.licence}",
    ]
    if manifest.concepts:
        lines.append(f"- segments: {', '.join(manifest.concepts)}")
    return "\n".join(lines)


def _data(manifest: Manifest) -> str:
    rows = [f"| {entry['name']} | {entry['use']} | {entry['licence']} |" for entry in manifest.data]
    return "\n".join(["## Data", "", "| source | use | licence |", "| --- | --- | --- |", *rows])


def _training(manifest: Manifest) -> str:
    rows = [f"- {key}: {_text(value)}" for key, value in manifest.training.items()]
    return "\n".join(["## Training", "", *rows])


def _text(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

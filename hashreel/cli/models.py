"""``hashreel models``: the models that ship, and model directories."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

__all__ = ["cli"]


@click.group(
    epilog="""
\b
Example:
  hashreel models list
  hashreel models verify models/mine
"""
)
def cli() -> None:
    """List, show and verify models."""


@cli.command(
    name="list",
    epilog="""
\b
Example:
  hashreel models list --json
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_models(as_json: bool) -> None:
    """List the models that ship with Hashreel."""
    from encoder.model_files import DEFAULT_MODEL, read_manifest, resolve_model, shipped_models

    rows = []
    for name in shipped_models():
        manifest = read_manifest(resolve_model(name))
        row = {"name": name, "bits": manifest.bits, "kind": manifest.architecture["kind"]}
        rows.append({**row, "trunk": manifest.trunk["name"], "default": name == DEFAULT_MODEL})
    if as_json:
        click.echo(json.dumps({"models": rows}))
        return
    for row in rows:
        mark = "  (default)" if row["default"] else ""
        click.echo(f"{row['name']}  {row['bits']} bits  {row['kind']} on {row['trunk']}{mark}")


@cli.command(
    epilog="""
\b
Example:
  hashreel models show default
"""
)
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(model: str, as_json: bool) -> None:
    """Show what MODEL, a name or a directory, is and was trained on."""
    from encoder.model_files import CARD_FILE, read_manifest, resolve_model

    directory = resolve_model(model)
    manifest = read_manifest(directory)
    if as_json:
        click.echo(json.dumps(asdict(manifest)))
        return
    click.echo((directory / CARD_FILE).read_text(encoding="utf-8").rstrip())
    click.echo(f"\nfingerprint: {manifest.fingerprint}")


@cli.command(
    epilog="""
\b
Example:
  hashreel models verify default
"""
)
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(model: str, as_json: bool) -> None:
    """Load MODEL, check it against its fingerprint, and encode one picture with it."""
    import numpy as np

    from encoder.codes import code_to_hex
    from encoder.model import load_model

    loaded = load_model(model, device="cpu")
    ramp = np.arange(256, dtype=np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], ramp[:, None] ^ ramp[None, :]), axis=2)
    code = code_to_hex(loaded.encode([picture])[0])
    report: dict[str, Any] = {"name": loaded.name, "fingerprint": loaded.fingerprint, "test_code": code, "ok": True}
    click.echo(json.dumps(report) if as_json else f"{loaded.name}: fingerprint {loaded.fingerprint} holds")


@cli.command(
    epilog="""
\b
Example:
  hashreel models export default --out default.onnx
"""
)
@click.argument("model")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="ONNX file to write.")
@click.option(
    "--batch", type=click.IntRange(1), default=8, show_default=True, help="Pictures a pass; fixed in the file."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(model: str, out: Path, batch: int, as_json: bool) -> None:
    """Write MODEL as an ONNX file: uint8 RGB pixels in, outputs in [0, 1] out, normalisation inside."""
    from encoder.model import load_model
    from encoder.onnx_runtime import export_onnx

    loaded = load_model(model, device="cpu", runtime="torch")
    content = export_onnx(loaded.runtime.network, loaded.transform.size, batch)
    out.write_bytes(content)
    report = {"name": loaded.name, "fingerprint": loaded.fingerprint, "file": str(out), "bytes": len(content)}
    click.echo(json.dumps(report) if as_json else f"{out}: {len(content)} bytes")

"""``hashreel audit``."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import click

from hashreel.cli.options import client_options, connect, json_option, print_json, print_table
from hashreel.cli.reports import when
from hashreel.schemas import AuditAction, AuditEntry


@click.command(epilog="Example: hashreel audit --action delete --limit 20")
@click.option(
    "--action",
    type=click.Choice(["search", "view", "export", "change", "delete"]),
    help="Only entries of this kind.",
)
@click.option("--key", metavar="ID", help="Only what was done with this key.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@client_options
@json_option
def cli(
    action: AuditAction | None,
    key: str | None,
    limit: int,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Show who searched, viewed, exported, changed and deleted what, newest first. Needs an admin's key."""
    with connect(url, data, api_key) as client:
        entries = list(islice(client.audit(action=action, key=key), limit))
    if as_json:
        print_json({"entries": [entry.model_dump() for entry in entries]})
        return
    rows = [
        (when(e.at), e.action, e.name if not e.key else f"{e.name} ({e.key})", e.address, e.status, _what(e))
        for e in entries
    ]
    print_table(("time", "action", "who", "from", "status", "what"), rows, right=(4,))


def _what(entry: AuditEntry) -> str:
    searches = entry.notes.get("searches", [])
    found = "; ".join(
        f"{one.get('kind')} {one.get('code', '')} in {one.get('collection')}: {one.get('hits')} hits"
        for one in searches[:3]
    )
    found = found or (f"made {entry.notes['made']}" if "made" in entry.notes else "")
    return f"{entry.method} {entry.path}" + (f"?{entry.query}" if entry.query else "") + (f"  {found}" if found else "")

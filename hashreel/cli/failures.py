"""``hashreel failures``."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import click

from hashreel.cli.options import client_options, connect, json_option, print_json
from hashreel.cli.reports import failure_table


@click.command(epilog="Example: hashreel failures --job 3fd2a1b0c4d5")
@click.option("--job", metavar="ID", help="Only those of one job.")
@click.option("--collection", help="Only those of one collection.  [default: the service's own]")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@client_options
@json_option
def cli(
    job: str | None,
    collection: str | None,
    limit: int,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """List what could not be indexed, and why: failed sources, and what damaged ones lost."""
    with connect(url, data, api_key) as client:
        failures = list(islice(client.failures(job=job, collection=collection), limit))
    if as_json:
        print_json({"failures": [failure.model_dump() for failure in failures]})
    elif failures:
        failure_table(failures)
    else:
        click.echo("no failures", err=True)

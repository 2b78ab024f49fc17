"""``hashreel up``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hashreel.cli.doctor import warn_of_problems
from hashreel.cli.options import engine_settings, service_options
from hashreel.stack import Stack


@click.command(epilog="Example: hashreel up --data ./archive-index --port 8000")
@service_options
@click.option("--host", envvar="HASHREEL_HOST", show_envvar=True, help="Address to bind to.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), envvar="HASHREEL_PORT", show_envvar=True, help="0: any.  [default: 8000]"
)
@click.option("--lingers", is_flag=True, hidden=True, help="End a minute after the last local client has gone.")
def cli(
    redis_url: str | None,
    data: Path | None,
    model: str | None,
    host: str | None,
    port: int | None,
    lingers: bool,
) -> None:
    """Run everything in the foreground over one folder; Ctrl-C ends it.

    Starts a Redis with an append-only file in the folder (unless --redis-url names one), workers, and the
    search service with its page. Any file that you can read may be indexed.
    """
    settings = engine_settings(redis_url=redis_url, data=data, model=model, host=host, port=port, open_roots=True)
    warn_of_problems(settings)
    stack = Stack(settings, lambda line: click.echo(line, err=True), lingers=lingers)
    click.echo(f"starting over {settings.data.absolute()} ...", err=True)
    stack.start()
    try:
        click.echo(f"Hashreel is up at {stack.url}  (Ctrl-C ends it)", err=True)
        sys.stderr.flush()
        stack.watch()
    finally:
        stack.stop()
    click.echo("ended; nothing that was committed is lost", err=True)

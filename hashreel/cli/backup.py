"""``hashreel backup``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hashreel.cli.options import engine_settings, json_option, print_json, service_options


@click.command(epilog="Example: hashreel backup /mnt/backups/monday.hashreel --data ./archive-index")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--also-model", "models", multiple=True, help="Folder of a model of another generation; repeatable.")
@service_options
@json_option
def cli(
    file: Path, models: tuple[str, ...], redis_url: str | None, data: Path | None, model: str | None, as_json: bool
) -> None:
    """Write everything that cannot be made again into one new FILE.

    That is Redis at one moment (codes, log, records, tags), uploaded videos, models, and settings. It works on
    a running installation without stopping it, and on a folder over which nothing runs. Sources outside the
    uploads folder, snapshots and thumbnails are not in it. Give Hashreel a Redis of its own: the whole server
    is copied.
    """
    from hashreel.backups import write_backup

    settings = engine_settings(redis_url=redis_url, data=data, model=model)
    done = write_backup(settings, file, models)
    for name in done.missing_models:
        click.echo(f"WARNING: the files of model {name} were not found; add them with --also-model", err=True)
    if as_json:
        print_json(asdict(done))
    else:
        click.echo(
            f"{done.file}: {done.bytes} bytes, {done.generations} generations, {done.uploads} uploads, "
            f"{done.models} models"
        )

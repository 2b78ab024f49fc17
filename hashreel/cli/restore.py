"""``hashreel restore``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hashreel.cli.options import json_option, print_json


@click.command(epilog="Example: hashreel restore /mnt/backups/monday.hashreel --data ./restored")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar="HASHREEL_DATA",
    show_envvar=True,
    help="New or empty folder.",
)
@click.option("--redis-url", help="Load the data into this Redis, which holds none of Hashreel's.")
@json_option
def cli(file: Path, data: Path, redis_url: str | None, as_json: bool) -> None:
    """Restore a backup FILE into an empty folder, over which `hashreel up` then runs.

    The file is checked whole before the folder appears. Backups of older versions are brought to the present
    format on the way; newer, foreign, torn and changed files are refused.
    """
    from hashreel.backups import restore_backup

    done = restore_backup(file, data, redis_url)
    if as_json:
        print_json(asdict(done))
        return
    names = ", ".join(done.collections) or "none"
    click.echo(f"restored into {done.data}: {done.videos} videos, collections: {names}")
    click.echo(f"settings of the backup: {done.settings_file}")
    for name, folder in done.models.items():
        where = f"HASHREEL_MODEL={folder}" if folder else "a copy of its folder, which the backup lacks"
        click.echo(f"model {name} did not come with this installation; start with {where}", err=True)

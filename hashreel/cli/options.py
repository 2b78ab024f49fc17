"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from hashreel.cli.texts import visible
from hashreel.errors import BadInputError
from hashreel.settings import Settings

if TYPE_CHECKING:
    from hashreel.client import Client

__all__ = [
    "client_options",
    "connect",
    "engine_settings",
    "json_option",
    "parse_between",
    "parse_box",
    "parse_duration_s",
    "parse_tag_filter",
    "parse_tags",
    "print_json",
    "print_table",
    "service_options",
]

Function = TypeVar("Function", bound=Callable[..., Any])

DEFAULT_URL = "http://127.0.0.1:8000"


def json_option(function: Function) -> Function:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def client_options(function: Function) -> Function:
    """Add the options of commands that talk to a service."""
    for option in (
        click.option(
            "--api-key",
            envvar="HASHREEL_API_KEY",
            show_envvar=True,
            help="Key that the service asks for; see `hashreel keys`.",
        ),
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            envvar="HASHREEL_DATA",
            show_envvar=True,
            help="Use the embedded stack over this folder; starts it if it does not run.",
        ),
        click.option(
            "--url", envvar="HASHREEL_URL", show_envvar=True, help=f"Address of the service.  [default: {DEFAULT_URL}]"
        ),
    ):
        function = option(function)
    return function


def connect(url: str | None, data: Path | None, api_key: str | None) -> Client:
    """Return a client of the service that the options name; what was typed wins over variables, then the address.

    Raises:
        click.UsageError: If both an address and a folder were typed.
    """
    from hashreel.client import Client
    from hashreel.stack import running_stack

    is_typed = {name for name in ("url", "data") if _is_typed(name)}
    if len(is_typed) == 2:
        raise click.UsageError("--url and --data name two services; give one of them")
    if data is not None and (url is None or is_typed == {"data"}):
        if running_stack(data.absolute()) is None:
            click.echo(f"starting a stack over {data.absolute()}; it ends a minute after its last client ...", err=True)
        return Client.local(data)
    return Client(url or DEFAULT_URL, api_key=api_key)


def _is_typed(name: str) -> bool:
    """Return whether an option was given on the command line, of this command or of the group it stands in."""
    context = click.get_current_context(silent=True)
    while context is not None:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            return True
        context = context.parent
    return False


def service_options(function: Function) -> Function:
    """Add the settings that servers and workers are usually started with; all others are variables."""
    for option in (
        click.option("--redis-url", envvar="HASHREEL_REDIS_URL", show_envvar=True, help="Redis of the data."),
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            envvar="HASHREEL_DATA",
            show_envvar=True,
            help="Folder for uploads, caches and the embedded Redis.  [default: hashreel-data]",
        ),
        click.option("--model", envvar="HASHREEL_MODEL", show_envvar=True, help="Model name or folder."),
    ):
        function = option(function)
    return function


def engine_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment, with the options that were given on top.

    Raises:
        BadInputError: If a value is not acceptable; the message names the variable.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as exc:
        lines = [f"HASHREEL_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in exc.errors()]
        raise BadInputError("settings are not acceptable:\n  " + "\n  ".join(lines)) from exc


def parse_tags(pairs: Iterable[str]) -> dict[str, str]:
    """Return the tags of ``key=value`` texts; click.BadParameter if one is not of that form."""
    tags = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not a tag; expected key=value")
        tags[name] = value
    return tags


def parse_tag_filter(pairs: Iterable[str]) -> dict[str, str | list[str]] | None:
    """Return the tags that are asked for: of several values of one tag any, of several tags all; None for none."""
    wanted: dict[str, list[str]] = {}
    for pair in pairs:
        for name, value in parse_tags([pair]).items():
            wanted.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in wanted.items()} or None


def parse_duration_s(text: str) -> float:
    """Return seconds: ``1``, ``0.5s``, ``500ms``, ``2m``, ``1h``, ``00:01:30`` or ``1:30.5``."""
    units = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    clock = re.fullmatch(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)", text)
    if clock:
        hours, minutes, seconds = clock.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if not match:
        raise click.BadParameter(f"{text!r} is not a time; expected e.g. 1s, 500ms, 2m or 1:30")
    return float(match[1]) * units[match[2] or ""]


def parse_box(text: str | None) -> tuple[float, float, float, float] | None:
    """Return the box ``X,Y,W,H``; None for none, click.BadParameter if it is not four numbers."""
    if text is None:
        return None
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError as exc:
        raise click.BadParameter(f"{text!r} is not a box; expected four numbers, such as 0.1,0.2,0.5,0.5") from exc
    return x, y, width, height


def parse_between(pair: tuple[str, str] | None) -> tuple[float, float] | None:
    """Return a range of times in seconds; None for none."""
    return (parse_duration_s(pair[0]), parse_duration_s(pair[1])) if pair else None


def print_json(document: object) -> None:
    """Print one JSON document on stdout."""
    if isinstance(document, BaseModel):
        click.echo(document.model_dump_json(indent=2))
    else:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Print a table on stdout: for people on a terminal, tab-separated in a pipe."""
    if not sys.stdout.isatty():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(visible(str(cell)) for cell in row))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(str(cell))) for cell in row))
    Console().print(table)

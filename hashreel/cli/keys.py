"""``hashreel keys``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashreel.cli.groups import OptionsAnywhere
from hashreel.cli.options import (
    client_options,
    connect,
    engine_settings,
    json_option,
    parse_duration_s,
    print_json,
    print_table,
)
from hashreel.cli.reports import when
from hashreel.schemas import ApiKeyModel, NewApiKey, Scope

if TYPE_CHECKING:
    from search.access.keyring import Keyring


@click.group(
    cls=OptionsAnywhere, invoke_without_command=True, epilog="Example: hashreel keys create mary --scope write"
)
@click.option(
    "--redis-url",
    help="Work on this Redis itself instead of through a service: for the first key, or when an admin's is lost.",
)
@client_options
@json_option
@click.pass_context
def cli(
    context: click.Context,
    redis_url: str | None,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """List, make and revoke API keys.

    A service on loopback asks for no key until the first one is made; from then on every request needs one. On any
    other address it always does.
    """
    context.obj = (redis_url, url, data, api_key, as_json)
    if context.invoked_subcommand is None:
        _list(context)


@cli.command("list", epilog="Example: hashreel keys list")
@click.pass_context
def list_(context: click.Context) -> None:
    """List all keys, revoked ones too; secrets are not kept."""
    _list(context)


@cli.command(epilog="Example: hashreel keys create night-ingest --scope write --collection news --expires 720h")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "admin"]),
    default="read",
    show_default=True,
    help="read: search and view. write: index, tag and delete, too. admin: everything.",
)
@click.option("--collection", "collections", multiple=True, help="Only this collection; repeatable.  [default: all]")
@click.option("--expires", metavar="TIME", help="The key opens nothing after this time, such as 720h.")
@click.pass_context
def create(context: click.Context, name: str, scope: Scope, collections: tuple[str, ...], expires: str | None) -> None:
    """Make a key and show its secret, once."""
    redis_url, url, data, api_key, as_json = context.obj
    allowed, expires_s = list(collections) or None, parse_duration_s(expires) if expires else None
    if redis_url:
        with _keyring(redis_url) as ring:
            key, secret = ring.create(name, scope, allowed, expires_s)
        made = NewApiKey(**key.model().model_dump(), secret=secret)
    else:
        with connect(url, data, api_key) as client:
            made = client.create_key(name, scope=scope, collections=allowed, expires_s=expires_s)
    if as_json:
        print_json(made)
        return
    click.echo(made.secret)
    click.echo("this is shown once: keep it, and give it as HASHREEL_API_KEY or --api-key", err=True)


@cli.command(epilog="Example: hashreel keys revoke 9f1c2ab04d77")
@click.argument("key_id", metavar="ID")
@click.pass_context
def revoke(context: click.Context, key_id: str) -> None:
    """Let a key open nothing any more."""
    redis_url, url, data, api_key, as_json = context.obj
    if redis_url:
        with _keyring(redis_url) as ring:
            revoked = ring.revoke(key_id).model()
    else:
        with connect(url, data, api_key) as client:
            revoked = client.revoke_key(key_id)
    print_json(revoked) if as_json else click.echo(f"revoked {revoked.id} ({revoked.name})")


def _list(context: click.Context) -> None:
    redis_url, url, data, api_key, as_json = context.obj
    if redis_url:
        with _keyring(redis_url) as ring:
            keys = [key.model() for key in ring.everything()]
    else:
        with connect(url, data, api_key) as client:
            keys = client.api_keys()
    if as_json:
        print_json({"keys": [key.model_dump() for key in keys]})
        return
    rows = [(k.id, k.name, k.scope, ", ".join(k.collections or ["all"]), when(k.created_at), _state(k)) for k in keys]
    print_table(("id", "name", "scope", "collections", "made", "state"), rows)


def _state(key: ApiKeyModel) -> str:
    if key.revoked_at is not None:
        return f"revoked {when(key.revoked_at)}"
    return f"until {when(key.expires_at)}" if key.expires_at is not None else "good"


@contextmanager
def _keyring(redis_url: str) -> Iterator[Keyring]:
    from indexer.store import connect as connect_redis
    from search.access.keyring import Keyring

    client = connect_redis(engine_settings(redis_url=redis_url).redis_url or redis_url)
    try:
        yield Keyring(client)
    finally:
        client.close()

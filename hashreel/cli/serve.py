"""``hashreel serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from hashreel.cli.doctor import warn_of_problems
from hashreel.cli.options import engine_settings, service_options
from hashreel.errors import UnavailableError
from hashreel.settings import Settings

if TYPE_CHECKING:
    from search.http.access import Access


@click.command(epilog="Example: hashreel serve --redis-url redis://10.0.0.5:6379/0 --data /var/lib/hashreel")
@service_options
@click.option("--host", envvar="HASHREEL_HOST", show_envvar=True, help="Address to bind to.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), envvar="HASHREEL_PORT", show_envvar=True, help="[default: 8000]")
@click.option(
    "--index",
    type=click.Choice(get_args(Settings.model_fields["index"].annotation)),
    envvar="HASHREEL_INDEX",
    show_envvar=True,
    help="Kind of the index.  [default: auto]",
)
@click.option("--milvus-uri", envvar="HASHREEL_MILVUS_URI", show_envvar=True, help="Milvus, for --index milvus.")
def cli(
    redis_url: str | None,
    data: Path | None,
    model: str | None,
    host: str | None,
    port: int | None,
    index: str | None,
    milvus_uri: str | None,
) -> None:
    """Run the search service: HTTP API and page over the data of one Redis.

    On an address that is not loopback every request needs an API key (see `hashreel keys`), unless
    HASHREEL_ALLOW_OPEN=true says that a proxy before it takes care of that.
    """
    settings = engine_settings(
        redis_url=redis_url, data=data, model=model, host=host, port=port, index=index, milvus_uri=milvus_uri
    )
    if settings.redis_url is None:
        raise UnavailableError("no Redis is named; set --redis-url or HASHREEL_REDIS_URL, or run `hashreel up`")

    # Compiled kernels are kept where the service may write, and survive upgrades of the package's folder.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.data.absolute() / "cache" / "numba"))

    import uvicorn

    from encoder.model import load_model
    from hashreel.cli.logs import set_up_logging
    from hashreel.traces import end_traces, set_up_traces
    from indexer.store import Store, connect
    from search.engine import SearchEngine
    from search.http.access import make_access
    from search.http.app import make_app
    from workers.app import make_app as make_celery
    from workers.queue import JobQueue
    from workers.sending import Sender
    from workers.units import Units

    set_up_logging(settings.log_level, settings.log_format)
    set_up_traces(settings, "hashreel-search")
    warn_of_problems(settings)
    store = Store(connect(settings.redis_url))
    store.check_server()
    device = None if settings.device == "auto" else settings.device
    engine = SearchEngine(
        store, settings, lambda name: load_model(name, device=device, threads=settings.threads or None)
    )
    engine.open()
    access = make_access(settings, store.redis, store.keys)
    _warn(access)
    queue = JobQueue(store, Units(store.redis, store.keys), Sender(make_celery(settings)), settings)
    try:
        uvicorn.run(
            make_app(engine, queue, settings, access),
            host=settings.host,
            port=settings.port,
            http=_http_protocol(),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    finally:
        if access.audit is not None:
            access.audit.close()
        engine.close()
        end_traces()


def _http_protocol() -> Any:
    """Return what uvicorn is to speak HTTP with."""
    try:
        from search.http.head_limit import HeadLimit
    except ImportError:  # no httptools on this platform
        return "auto"
    return HeadLimit


def _warn(access: Access) -> None:
    assert access.keyring is not None
    access.keyring.refresh()
    host, is_empty = access.settings.host, access.keyring.is_empty
    if access.needs_key() and is_empty and not access.settings.local_key:
        click.echo(
            f"WARNING: no API key exists, and on {host} every request needs one; make it with "
            "`hashreel keys create NAME --scope admin --redis-url URL`",
            err=True,
        )
    elif not access.needs_key() and access.settings.allow_open:
        click.echo(f"WARNING: whoever reaches {host} may search and delete (HASHREEL_ALLOW_OPEN)", err=True)

"""The Celery app and its settings. One app a process."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from celery import Celery

from hashreel.errors import BadInputError, UnavailableError
from workers.broker_transport import use_patient_transport

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["broker_of", "make_app"]


def broker_of(settings: Settings) -> str:
    """Return the URL of the queues in the form that Celery takes; by default the next database beside the data's.

    Raises:
        UnavailableError: If neither ``broker_url`` nor ``redis_url`` is set.
        BadInputError: If no broker follows from ``redis_url``.
    """
    if settings.broker_url:
        url = settings.broker_url
    elif settings.redis_url:
        url = _other_database(settings.redis_url)
    else:
        raise UnavailableError("no Redis is named; set HASHREEL_REDIS_URL or --redis-url, or run `hashreel up`")
    scheme = url.partition("://")[0]
    if scheme == "unix":
        return _socket_url(url)
    if scheme == "rediss" and "ssl_cert_reqs=" not in url:
        # Celery would not check the server's certificate unless told to; redis-py does.
        return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
    return url


def _other_database(url: str) -> str:
    """Return the URL of another database of the same Redis, without the options that only redis-py knows."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        options["db"] = str(_next_database(options.get("db", "")))
        return f"unix://{parts.netloc}{parts.path}?{urlencode(options)}"
    if parts.scheme not in {"redis", "rediss"}:
        raise BadInputError(f"no broker follows from redis_url {parts.scheme}://...; set HASHREEL_BROKER_URL")
    database = _next_database(options.get("db") or parts.path.strip("/"))
    kept = urlencode({name: value for name, value in options.items() if name.startswith("ssl_")})
    return urlunsplit((parts.scheme, parts.netloc, f"/{database}", kept, ""))


def _next_database(text: str) -> int:
    """Return the number after a database's; the one before for 15, the last that a server has by default."""
    try:
        database = int(text or 0)
    except ValueError as exc:
        raise BadInputError(f"redis_url names the database {text!r}; expected a number") from exc
    return database + 1 if database != 15 else 14


def _socket_url(url: str) -> str:
    """Return a unix socket's URL as Celery writes it: the user before the path, the database as virtual host."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    user = unquote(parts.username or options.get("username", ""))
    password = unquote(parts.password or options.get("password", ""))
    secret = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    return f"redis+socket://{secret}{parts.path}?virtual_host={options.get('db') or 0}"


def make_app(settings: Settings) -> Celery:
    """Return the app that sends and takes units.

    Messages are acknowledged after the work, and come back if a worker dies. What Redis as a broker can still
    lose or deliver twice is caught by our own records (see ``workers.units`` and ``workers.reconciler``).
    """
    visibility_s = settings.unit_timeout_s * 2
    broker = broker_of(settings)
    use_patient_transport()
    app = Celery("hashreel", broker=broker)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": visibility_s,
            "unacked_restore_interval": 10,
            "queue_order_strategy": "workers.lanes:LaneCycle",
            "socket_timeout": 30,
            "socket_keepalive": not broker.startswith("redis+socket"),
        },
        visibility_timeout=visibility_s,
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 3, "interval_start": 0.1, "interval_max": 1.0},
    )
    return app

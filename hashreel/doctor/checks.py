"""Which checks run when: all of them for ``hashreel doctor``, the quick ones whenever a part starts."""

from __future__ import annotations

from collections.abc import Iterator

from hashreel.doctor.findings import Finding
from hashreel.doctor.machine import check_machine
from hashreel.settings import Settings

__all__ = ["check_all", "check_start"]


def check_all(settings: Settings) -> Iterator[Finding]:
    """Yield every finding; loads torch, FAISS and the model."""
    from hashreel.doctor.engine import check_engine
    from hashreel.doctor.packages import check_packages
    from hashreel.doctor.redis_server import check_redis

    yield from check_machine(settings)
    yield from check_packages()
    yield from check_redis(settings)
    yield from check_engine(settings)


def check_start(settings: Settings) -> Iterator[Finding]:
    """Yield what can be found out within a moment; loads no engine beyond the client of Redis."""
    from hashreel.doctor.packages import check_packages

    yield from check_machine(settings)
    yield from check_packages()
    if settings.redis_url is not None:
        from hashreel.doctor.redis_server import check_redis

        yield from check_redis(settings)

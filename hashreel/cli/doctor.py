"""``hashreel doctor``, and its quick checks at the start of the long-running commands."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashreel.cli.options import engine_settings, json_option, print_json, service_options

if TYPE_CHECKING:
    from hashreel.doctor import Finding
    from hashreel.settings import Settings

__all__ = ["cli", "warn_of_problems"]


@click.command(epilog="Example: hashreel doctor --redis-url redis://10.0.0.5:6379/0")
@service_options
@json_option
def cli(redis_url: str | None, data: Path | None, model: str | None, as_json: bool) -> None:
    """Check whether this machine can run Hashreel, and say what to do where it cannot.

    Looks at Redis (version, persistence, eviction, memory, clock), the installed packages, GPUs, the FAISS
    build, the model, the data folder, its disk and limits. Without --redis-url it looks at the stack that
    runs over --data, if there is one. Exit code 1 if there is an error; warnings are risks.
    """
    from hashreel.doctor import check_all, worst
    from hashreel.stack import running_redis

    settings = engine_settings(redis_url=redis_url, data=data, model=model)
    if settings.redis_url is None:
        settings = settings.model_copy(update=running_redis(settings.data))
    findings = []
    for finding in check_all(settings):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json({"level": worst(findings), "checks": [asdict(finding) for finding in findings]})
    if worst(findings) == "error":
        sys.exit(1)


def _print(finding: Finding) -> None:
    click.echo(f"{finding.level:8} {finding.check:18} {finding.said}")
    if finding.advice:
        click.echo(f"{'':27} -> {finding.advice}")


def warn_of_problems(settings: Settings) -> None:
    """Print the problems that the quick checks find, on stderr; nothing is refused here."""
    from hashreel.doctor import check_start

    for finding in check_start(settings):
        if finding.is_problem:
            click.echo(f"{finding.level.upper()}: {finding.said}; {finding.advice}", err=True)

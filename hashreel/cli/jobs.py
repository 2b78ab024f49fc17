"""``hashreel jobs``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hashreel.cli.groups import OptionsAnywhere
from hashreel.cli.options import client_options, connect, json_option, print_json
from hashreel.cli.reports import job_table, report_job


@click.group(cls=OptionsAnywhere, invoke_without_command=True, epilog="Example: hashreel jobs --watch")
@click.option("--watch", is_flag=True, help="Follow the newest job to its end.")
@client_options
@json_option
@click.pass_context
def cli(
    context: click.Context, watch: bool, url: str | None, data: Path | None, api_key: str | None, as_json: bool
) -> None:
    """List jobs, newest first; watch, show, cancel and retry them."""
    context.obj = (url, data, api_key, as_json)
    if context.invoked_subcommand:
        return
    with connect(url, data, api_key) as client:
        jobs = client.jobs()
        if watch and jobs:
            status = jobs[0].wait(progress=sys.stderr.isatty()).status()
            print_json(status) if as_json else report_job(client, status)
            return
        models = [job.status() for job in jobs]
    if as_json:
        print_json({"jobs": [model.model_dump() for model in models]})
    else:
        job_table(models)


def _act(context: click.Context, job_id: str, action: str, **options: bool) -> None:
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        job = client.job(job_id)
        if action != "show":
            getattr(job, action)(**options)
        status = job.status()
        if as_json:
            print_json(status)
        elif action == "show":
            report_job(client, status)
        else:
            job_table([status])


@cli.command(epilog="Example: hashreel jobs show 3fd2a1b0c4d5")
@click.argument("job_id", metavar="ID")
@click.pass_context
def show(context: click.Context, job_id: str) -> None:
    """Show one job with its failures."""
    _act(context, job_id, "show")


@cli.command(epilog="Example: hashreel jobs retry 3fd2a1b0c4d5")
@click.argument("job_id", metavar="ID")
@click.pass_context
def retry(context: click.Context, job_id: str) -> None:
    """Try a job's failed sources again."""
    _act(context, job_id, "retry")


@cli.command(epilog="Example: hashreel jobs cancel 3fd2a1b0c4d5 --keep-partial")
@click.argument("job_id", metavar="ID")
@click.option("--keep-partial", is_flag=True, help="Keep the frames of videos that are half done.")
@click.pass_context
def cancel(context: click.Context, job_id: str, keep_partial: bool) -> None:
    """Stop what a job has not finished."""
    _act(context, job_id, "cancel", keep_partial=keep_partial)

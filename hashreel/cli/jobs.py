"""``hashreel jobs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from hashreel.cli.groups import OptionsAnywhere
from hashreel.cli.options import client_options, connect, json_option, print_json
from hashreel.cli.reports import job_progress, job_table, report_job
from hashreel.schemas import JobState

if TYPE_CHECKING:
    from hashreel.client import Client, Job


@click.group(cls=OptionsAnywhere, invoke_without_command=True, epilog="Example: hashreel jobs --watch")
@click.option("--watch", "is_watched", is_flag=True, help="Follow the newest job to its end.")
@click.option("--state", type=click.Choice(get_args(JobState)), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@client_options
@json_option
@click.pass_context
def cli(
    context: click.Context,
    is_watched: bool,
    state: JobState | None,
    limit: int,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """List jobs, newest first; show, watch, cancel, retry and delete them.

    A job is done to the share of key-frames that are encoded, of those that are expected by the lengths of its videos.
    """
    context.obj = (url, data, api_key, as_json)
    if context.invoked_subcommand:
        return
    with connect(url, data, api_key) as client:
        jobs = client.jobs(limit, state)
        if is_watched and jobs:
            _follow(client, jobs[0], as_json=as_json)
            return
    if as_json:
        print_json({"jobs": [job.model.model_dump() for job in jobs]})
    else:
        job_table(job.model for job in jobs)


def _follow(client: Client, job: Job, *, as_json: bool) -> None:
    status = job.wait(progress=job_progress(as_json=as_json)).status()
    print_json(status) if as_json else report_job(client, status)


def _act(context: click.Context, job_id: str, action: str, **options: bool) -> None:
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        job = client.job(job_id)
        if action == "watch":
            _follow(client, job, as_json=as_json)
            return
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
    """Show one job with its failures, and where its time went."""
    _act(context, job_id, "show")


@cli.command(epilog="Example: hashreel jobs watch 3fd2a1b0c4d5")
@click.argument("job_id", metavar="ID")
@click.pass_context
def watch(context: click.Context, job_id: str) -> None:
    """Follow a job to its end: how far it is, its rate, the time left."""
    _act(context, job_id, "watch")


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


@cli.command(epilog="Example: hashreel jobs delete 3fd2a1b0c4d5")
@click.argument("job_ids", metavar="ID ...", nargs=-1, required=True)
@click.pass_context
def delete(context: click.Context, job_ids: tuple[str, ...]) -> None:
    """Forget jobs that have ended; their videos stay."""
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        for job_id in job_ids:
            client.job(job_id).delete()
    print_json({"deleted": list(job_ids)}) if as_json else click.echo(f"deleted {len(job_ids)}")

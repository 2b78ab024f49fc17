"""``hashreel collections``."""

from __future__ import annotations

from pathlib import Path

import click

from hashreel.cli.groups import OptionsAnywhere
from hashreel.cli.options import client_options, connect, json_option, print_json, print_table
from hashreel.cli.reports import job_table
from hashreel.schemas import Collection


@click.group(
    cls=OptionsAnywhere,
    invoke_without_command=True,
    epilog="Example: hashreel collections reencode main --model models/mine",
)
@client_options
@json_option
@click.pass_context
def cli(context: click.Context, url: str | None, data: Path | None, api_key: str | None, as_json: bool) -> None:
    """List collections: names that point at a model, its log and its gallery.

    To change the model: reencode (beside the live generation), run a worker of that model, wait for the job,
    cutover; rollback undoes it.
    """
    context.obj = (url, data, api_key, as_json)
    if context.invoked_subcommand:
        return
    with connect(url, data, api_key) as client:
        collections = client.collections()
    _show(collections, as_json)


def _show(collections: list[Collection], as_json: bool) -> None:
    if as_json:
        print_json({"collections": [collection.model_dump() for collection in collections]})
        return
    rows = [
        (
            collection.name,
            generation.id,
            "live" if generation.is_live else "",
            generation.model,
            generation.fingerprint[:12],
            generation.bits,
            generation.videos,
        )
        for collection in collections
        for generation in collection.generations
    ]
    print_table(("collection", "generation", "", "model", "fingerprint", "bits", "videos"), rows, right=(5, 6))


@cli.command(epilog="Example: hashreel collections create faces --model models/faces")
@click.argument("name")
@click.option("--model", help="Model name or folder.  [default: default]")
@click.pass_context
def create(context: click.Context, name: str, model: str | None) -> None:
    """Make an empty collection."""
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        _show([client.create_collection(name, model)], as_json)


@cli.command(epilog="Example: hashreel collections reencode main --model models/mine")
@click.argument("name")
@click.option("--model", required=True, help="Model name or folder.")
@click.pass_context
def reencode(context: click.Context, name: str, model: str) -> None:
    """Index all sources with another model, into a new generation beside the live one.

    A worker of that model has to run: hashreel worker --model MODEL.
    """
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        status = client.reencode(name, model).model
    print_json(status) if as_json else job_table([status])


@cli.command(epilog="Example: hashreel collections cutover main 2")
@click.argument("name")
@click.argument("generation")
@click.option("--anyway", is_flag=True, help="Also if it lacks sources that the live generation has.")
@click.pass_context
def cutover(context: click.Context, name: str, generation: str, anyway: bool) -> None:
    """Search another generation from now on, in one write."""
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        _show([client.cut_over(name, generation, anyway=anyway)], as_json)


@cli.command(epilog="Example: hashreel collections rollback main")
@click.argument("name")
@click.pass_context
def rollback(context: click.Context, name: str) -> None:
    """Undo the last cut-over."""
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        _show([client.roll_back(name)], as_json)


@cli.command(epilog="Example: hashreel collections drop main --generation 1")
@click.argument("name")
@click.option("--generation", help="Only this generation, which must not be live.")
@click.confirmation_option(prompt="Remove the codes for good? The sources stay.", help="Ask nothing.")
@click.pass_context
def drop(context: click.Context, name: str, generation: str | None) -> None:
    """Remove a collection, or one of its generations."""
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        videos = client.drop(name, generation)
    print_json({"videos": videos}) if as_json else click.echo(f"dropped, with {videos} videos")

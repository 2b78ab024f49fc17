"""``hashreel watch test-webhook``, ``rotate-secret`` and ``deliveries``: where watches send their hits."""

from __future__ import annotations

import click

from hashreel.cli.options import connect, parse_duration_s, print_json, print_table
from hashreel.cli.reports import when
from hashreel.schemas import Deliveries, DeliveryModel

__all__ = ["deliveries", "rotate_secret", "test_webhook"]


@click.command("test-webhook", epilog="Example: hashreel watch test-webhook 9f1c2ab04d77")
@click.argument("watch_id", metavar="ID")
@click.pass_context
def test_webhook(context: click.Context, watch_id: str) -> None:
    """Send a signed message without hits to a watch's webhook, once."""
    _, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        outcome = client.test_webhook(watch_id)
    if as_json:
        print_json(outcome)
    else:
        click.echo(f"delivered: status {outcome.status}" if outcome.state == "delivered" else outcome.reason)
    if outcome.state != "delivered":
        raise click.exceptions.Exit(1)


@click.command("rotate-secret", epilog="Example: hashreel watch rotate-secret 9f1c2ab04d77 --grace 24h")
@click.argument("watch_id", metavar="ID")
@click.option(
    "--grace",
    metavar="TIME",
    help="So long messages are signed with the secret before, too, such as 24h.  [default: not at all]",
)
@click.pass_context
def rotate_secret(context: click.Context, watch_id: str, grace: str | None) -> None:
    """Give a watch's webhook a new secret and show it, once; without --grace the one before is good for nothing."""
    _, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        rotated = client.rotate_secret(watch_id, grace_s=parse_duration_s(grace) if grace else 0)
    if as_json:
        print_json(rotated)
        return
    click.echo(f"secret of its webhook, shown once: {rotated.secret}")
    if rotated.old_secret_until is not None:
        click.echo(f"the one before signs, too, until {when(rotated.old_secret_until)}", err=True)


@click.command(epilog="Example: hashreel watch deliveries 9f1c2ab04d77 --state dead --retry")
@click.argument("watch_id", metavar="ID")
@click.option("--state", type=click.Choice(["waiting", "delivered", "dead"]), help="Only these.")
@click.option("--retry", is_flag=True, help="Send those again that were given up.")
@click.pass_context
def deliveries(context: click.Context, watch_id: str, state: str | None, retry: bool) -> None:
    """List the messages to a watch's webhook, the newest first."""
    _, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        listed = client.deliveries(watch_id, state=state)  # type: ignore[arg-type]
        if retry:
            for one in [delivery for delivery in listed if delivery.state == "dead"]:
                listed[listed.index(one)] = client.retry_delivery(watch_id, one.id)
    if as_json:
        print_json(Deliveries(deliveries=listed))
    else:
        columns = ("delivery", "state", "hits", "tries", "status", "created", "reason")
        print_table(columns, [_delivery_row(one) for one in listed], right=(2, 3, 4))


def _delivery_row(one: DeliveryModel) -> tuple[object, ...]:
    return one.id, one.state, one.hits, one.tries, one.status, when(one.created_at), one.reason

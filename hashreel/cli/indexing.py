"""Options of the commands that index something: which key-frames, which tags, into which collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from hashreel.cli.options import parse_duration_s
from hashreel.schemas import Flaw

__all__ = ["indexing_options", "key_frame_policy"]

Function = TypeVar("Function", bound=Callable[..., Any])


def indexing_options(function: Function) -> Function:
    """Add the options that say how videos are indexed; :func:`key_frame_policy` takes the first four."""
    for option in (
        click.option("--collection", help="Collection to index into."),
        click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Tag of all these videos; repeatable."),
        click.option(
            "--drop",
            multiple=True,
            type=click.Choice(get_args(Flaw)),
            help="Key-frames of this kind get no code, but are counted; repeatable.",
        ),
        click.option("--scenes", is_flag=True, help="One key-frame a shot."),
        click.option(
            "--keyframes", type=click.Choice(["codec"]), help="The codec's own key-frames: by far the fastest."
        ),
        click.option("--every", metavar="TIME", help="One key-frame a step, such as 1s or 500ms.  [default: 1s]"),
    ):
        function = option(function)
    return function


def key_frame_policy(every: str | None, keyframes: str | None, scenes: bool, drop: tuple[str, ...]) -> dict[str, Any]:
    """Return what was chosen as arguments of ``Client.enqueue``; what was not is left out.

    Raises:
        click.UsageError: If more than one way of choosing was given.
    """
    if sum((every is not None, keyframes is not None, scenes)) > 1:
        raise click.UsageError("--every, --keyframes and --scenes exclude each other")
    policy: dict[str, Any] = {"every_s": parse_duration_s(every)} if every is not None else {}
    policy |= {"keyframes": keyframes} if keyframes is not None else {}
    policy |= {"scenes": True} if scenes else {}
    return policy | ({"drop": drop} if drop else {})

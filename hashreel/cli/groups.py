"""Groups whose options may stand after the subcommand, too: ``hashreel jobs show ID --json``."""

from __future__ import annotations

import copy

import click

__all__ = ["OptionsAnywhere"]

SHARED = frozenset({"as_json", "url", "data", "api_key", "collection", "redis_url"})


class OptionsAnywhere(click.Group):
    """A group that takes its shared options before and after the name of a subcommand.

    Those after it are moved before it, unless the subcommand has an option of that name itself; the subcommand lists
    them in its help.
    """

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a subcommand, and the shared options to its help."""
        for option in self._shared(cmd):
            shown = copy.copy(option)
            shown.expose_value = False
            shown.envvar = None
            cmd.params.append(shown)
        super().add_command(cmd, name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with the shared options in front."""
        return super().parse_args(ctx, self._in_front(ctx, args))

    def _shared(self, cmd: click.Command) -> list[click.Option]:
        taken = {text for parameter in cmd.params for text in parameter.opts}
        options = (p for p in self.params if isinstance(p, click.Option) and p.name in SHARED)
        return [option for option in options if not taken & set(option.opts)]

    def _in_front(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, rest, _ = self.make_parser(ctx).parse_args(list(args))
        cmd = self.get_command(ctx, rest[0]) if rest else None
        if cmd is None:
            return args
        shown = {option.name for option in cmd.params if not getattr(option, "expose_value", True)}
        mine = {text: o for o in self.params if isinstance(o, click.Option) and o.name in shown for text in o.opts}
        moved, kept = _split(rest[1:], mine)
        return [*args[: len(args) - len(rest)], *moved, rest[0], *kept]


def _split(words: list[str], options: dict[str, click.Option]) -> tuple[list[str], list[str]]:
    """Return the words of some options with their values, and the other words."""
    moved: list[str] = []
    kept: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            kept += [word, *left]
            break
        name, equals, _ = word.partition("=")
        option = options.get(name)
        takes_next = option is not None and not option.is_flag and not equals
        value = [one for one in [next(left, None)] if one is not None] if takes_next else []
        # Without its value it stays where it is, and the subcommand says so.
        is_moved = option is not None and (value or not takes_next)
        (moved if is_moved else kept).extend([word, *value])
    return moved, kept

"""``hashreel completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(epilog="Example: hashreel completion bash > ~/.local/share/bash-completion/completions/hashreel")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def cli(shell: str) -> None:
    """Print what lets a shell complete commands, options and files.

    bash: eval "$(hashreel completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc, after compinit. fish: hashreel
    completion fish > ~/.config/fish/completions/hashreel.fish
    """
    from hashreel.cli import cli as root

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    click.echo(kind(root, {}, "hashreel", "_HASHREEL_COMPLETE").source())

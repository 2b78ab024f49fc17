"""Every call of hashreel in a shell block of the documentation is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hashreel.cli import cli

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```(?:sh|bash|console)\n(.*?)```", re.DOTALL)


def calls(text: str) -> Iterator[list[str]]:
    """Yield the words of each call, without the program's name."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for words in _commands(line.removeprefix("$ ")):
                programs = [n for n, word in enumerate(words) if word.rpartition("/")[2] == "hashreel"]
                if programs and all("=" in word for word in words[: programs[0]]):
                    yield words[programs[0] + 1 :]


def _commands(line: str) -> Iterator[list[str]]:
    """Yield the simple commands of a line."""
    reader = shlex.shlex(line, posix=True, punctuation_chars="();|&")
    reader.whitespace_split = True
    words: list[str] = []
    for word in reader:
        if set(word) <= set("();|&"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_shell_blocks_exist_with_their_options(page: Path) -> None:
    for words in calls(page.read_text()):
        command: click.Command | None = cli
        rest, context = words, click.Context(cli)
        while isinstance(command, click.Group):
            # Options before a subcommand are those that stand on either side.
            names = [word for word in rest if not word.startswith("-")]
            found = next((name for name in names if command.get_command(context, name)), None)
            if found is None:
                break
            command, rest = command.get_command(context, found), rest[rest.index(found) + 1 :]
        assert command is not None
        assert command is not cli or "--help" in words or "--version" in words, f"hashreel {' '.join(words)}"
        options = {
            name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)
        }
        given = {word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"}
        assert given <= options | {"--help"}, f"hashreel {' '.join(words)}: {given - options}"


def test_the_reader_finds_calls() -> None:
    text = "```sh\nFOO=1 .venv/bin/hashreel up --data x # all\ncat a | hashreel enqueue --from - && ls hashreel\n```"
    assert list(calls(text)) == [["up", "--data", "x"], ["enqueue", "--from", "-"]]

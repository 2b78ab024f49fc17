"""What the documentation site takes from the code while it is built: the command line's help and OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

MARK = re.compile(r"^<!-- made from the code: (\w+) -->$", re.MULTILINE)
OUTSIDE = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)]+)\)")
METHODS = ("get", "post", "put", "patch", "delete")

# Pages that are written apart from this; they are listed once they are there.
MAYBE = ("methods.md", "claim.md", "claims.md", "security.md")


def on_config(config: Any) -> Any:
    """List the pages of the last section that exist."""
    pages = config["nav"][-1]["How it is built"]
    pages += [name for name in MAYBE if (Path(config["docs_dir"]) / name).exists() and name not in pages]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what is made from the code; links that leave the site become names of files."""
    makers = {"cli": command_line, "http": http_api}
    filled = MARK.sub(lambda match: makers[match[1]](), markdown)
    depth = page.file.src_uri.count("/")

    def named(match: re.Match[str]) -> str:
        leaves = match[2].count("../") > depth
        path = match[2].replace("../", "")
        return (match[1] if path in match[1] else f"{match[1]} (`{path}`)") if leaves else match[0]

    return OUTSIDE.sub(named, filled)


def command_line() -> str:
    """Return every command with its help, as it is printed."""
    from hashreel.cli import COMMANDS, cli

    top = click.Context(cli, info_name="hashreel", terminal_width=100, max_content_width=100)
    return "\n".join(part for name in COMMANDS for part in _help(name, cli.get_command(top, name), top, 2))


def _help(name: str, command: click.Command | None, parent: click.Context, level: int) -> Iterator[str]:
    if command is None or command.hidden:
        return
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    yield f"{'#' * level} `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            yield from _help(child, command.get_command(context, child), context, level + 1)


def http_api() -> str:
    """Return every operation of the OpenAPI document."""
    from hashreel.settings import Settings
    from search.http.app import make_app

    app: Any = make_app(None, None, Settings())  # type: ignore[arg-type]
    document = app.openapi()
    lines: list[str] = []
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                lines += _operation(path, method, operations[method])
    return "\n".join(lines)


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n\n**{operation['summary']}.** {operation.get('description', '')}\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | what it is |\n| --- | --- | --- |"
        for parameter in parameters:
            said = " ".join(parameter.get("description", "").split()).replace("|", "\\|")
            yield f"| `{parameter['name']}` | {parameter['in']} | {said} |"
        yield ""
    bodies = [_schema(content) for content in operation.get("requestBody", {}).get("content", {}).values()]
    answers = ", ".join(f"{status}: {_answer(reply)}" for status, reply in operation["responses"].items())
    yield (f"Body: {' or '.join(bodies)}. " if bodies else "") + f"Answers: {answers}.\n"


def _schema(content: dict[str, Any]) -> str:
    reference = content.get("schema", {}).get("$ref", "")
    return f"`{reference.rpartition('/')[2]}`" if reference else "a form"


def _answer(reply: dict[str, Any]) -> str:
    found = [_schema(content) for content in reply.get("content", {}).values() if "$ref" in content.get("schema", {})]
    return found[0] if found else reply.get("description", "").split("\n")[0].rstrip(".").lower() or "nothing"

"""What a user imports and types is light, complete and documented."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hashreel.cli import COMMANDS, cli, main

ENGINE = ["torch", "faiss", "numba", "celery", "fastapi", "numpy", "redis", "av", "PIL", "timm"]
OURS = ["encoder", "indexer", "workers", "search"]

# Run in a fresh interpreter that refuses the engine, as a bare installation would.
BARE = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ENGINE + OURS!r}:
            raise ImportError(name + " is not installed")
sys.meta_path.insert(0, Refuse())
"""


def run_bare(code: str) -> str:
    done = subprocess.run([sys.executable, "-P", "-c", BARE + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_loads_no_engine() -> None:
    code = "from hashreel import AsyncClient, Client, Hit, Job; import json; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.split(".")[0] for name in json.loads(run_bare(code))}
    assert not loaded & set(ENGINE + OURS)


def test_help_loads_no_engine_and_no_http_client() -> None:
    code = """
from hashreel.cli import main
import contextlib, io, json
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
print(json.dumps(sorted(sys.modules)))
"""
    loaded = {name.split(".")[0] for name in json.loads(run_bare(code))}
    assert not loaded & {*ENGINE, *OURS, "httpx", "pydantic"}


def test_a_users_own_module_named_search_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "search.py").write_text("raise RuntimeError('the wrong search was imported')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from hashreel import Client; Client('http://127.0.0.1:1')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def every_command() -> list[tuple[str, click.Command]]:
    context = click.Context(cli)
    found = []
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found.extend((f"{name} {sub}", child) for sub, child in command.commands.items())
    return found


@pytest.mark.parametrize(
    ("name", "command"), every_command(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert command.help
    context = click.Context(command, info_name=name)
    assert f"hashreel {name.split()[0]}" in command.get_help(context)
    assert "Example" in command.get_help(context)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help or isinstance(parameter.type, click.Choice), parameter.name


def test_readme_lists_every_command() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    for name, _ in every_command():
        first, *rest = name.split()
        assert re.search(rf"hashreel {first}\b", readme), name
        assert all(word in readme for word in rest), name


def test_exit_codes(tmp_path: Path) -> None:
    def code(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, "-m", "hashreel", *arguments], capture_output=True, check=False
        ).returncode

    assert code("--version") == 0
    assert code("no-such-command") == 2
    assert code("search") == 2
    assert code("search", "code:00", "--url", "http://127.0.0.1:9") == 1


def test_a_command_that_ends_early_sets_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def end() -> None:
        raise click.exceptions.Exit(1)

    monkeypatch.setattr("hashreel.cli.cli", click.Command("end", callback=end))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 1


def test_an_unreachable_service_says_what_to_type() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hashreel", "jobs", "--url", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "hashreel up" in done.stderr
    assert "Traceback" not in done.stderr

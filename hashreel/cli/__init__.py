"""The command line. Each command lives in a file of its own that is imported when it is used."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from hashreel import __version__
from hashreel.cli.texts import visible
from hashreel.errors import HashreelError
from hashreel.processes import PARENT_VARIABLE, die_with_parent

__all__ = ["COMMANDS", "cli", "main"]


@dataclass(frozen=True)
class Command:
    """Where a command lives, and its line in the overview (its module is not imported for that)."""

    module: str
    help: str


COMMANDS = {
    "demo": Command("demo", "Index clips, show three searches, serve the page."),
    "up": Command("up", "Run everything over one folder: Redis, workers, search service, page."),
    "enqueue": Command("enqueue", "Index videos, folders of videos, or folders of key-frames."),
    "ingest": Command("ingest", "Index the videos of a folder once they are complete, also those that come later."),
    "upload": Command("upload", "Send videos of this machine to the service and index them."),
    "search": Command("search", "Find the moments that look like a picture, a frame or a code."),
    "frames": Command("frames", "Say what is known of frames by their ids: source, time, distance to a code."),
    "evidence": Command("evidence", "Pack hits as evidence: frames, checksums, times, how they were found."),
    "suppress": Command("suppress", "Leave frames like an example (intros, logos) out of answers."),
    "watch": Command("watch", "Save queries that run on everything that is indexed; list their hits."),
    "videos": Command("videos", "List, show, tag, relocate and delete videos."),
    "jobs": Command("jobs", "List, watch, cancel, retry and delete jobs."),
    "failures": Command("failures", "List what could not be indexed, and why."),
    "collections": Command("collections", "List, make, re-encode, cut over and drop collections."),
    "index": Command("index", "Look after the in-memory index: state, check, rebuild, files."),
    "keys": Command("keys", "List, make and revoke API keys."),
    "audit": Command("audit", "Show who searched, viewed, exported and deleted what."),
    "evaluate": Command("evaluate", "Score retrieval against a ground truth: MAP@K, intervals, a report."),
    "serve": Command("serve", "Run the search service."),
    "worker": Command("worker", "Run workers that encode: one process a GPU, or on the CPU."),
    "completion": Command("completion", "Print a shell's completion script."),
    "doctor": Command("doctor", "Check this machine and Redis, and say what to do."),
    "backup": Command("backup", "Write everything that cannot be made again into one file."),
    "restore": Command("restore", "Restore a backup into an empty folder."),
    "models": Command("models", "List, show and verify models."),
    "fit": Command("fit", "Fit a label-free hasher."),
    "train": Command("train", "Train segmentation and hashing networks."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that ``--help`` stays light."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"hashreel.cli.{COMMANDS[cmd_name].module}").cli
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in COMMANDS])


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": None},
    epilog="Example: hashreel up --data ./archive-index, then hashreel search query.jpg",
)
@click.version_option(__version__, prog_name="hashreel")
def cli() -> None:
    """Find the moments in large video archives that show the same thing as a picture."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit code 0 success, 1 failure, 2 usage, 130 interrupted."""
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent:
        die_with_parent(int(parent))
    try:
        # Without its standalone mode, click returns the code of an Exit instead of raising it.
        code = cli.main(args=arguments, prog_name="hashreel", standalone_mode=False)
        if isinstance(code, int) and code:
            sys.exit(code)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; that is no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (HashreelError, OSError) as exc:
        click.echo(visible(f"Error: {exc}", keep="\n"), err=True)
        sys.exit(1)

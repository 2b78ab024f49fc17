"""``hashreel evaluate``."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from hashreel.cli.options import client_options, connect, json_option, parse_duration_s, print_json, print_table

if TYPE_CHECKING:
    from hashreel.client.evaluation_calls import ReportFormat

FORMATS: tuple[ReportFormat, ...] = ("html", "csv", "markdown")
SHOWN = ("map@", "precision@")

EXAMPLE = """
\b
Example:
  hashreel evaluate truth.csv --html report.html
  hashreel evaluate shots.csv --frame-rate 24 --exclude video --against 3fd2a1b0c4d5
  hashreel evaluate --offline default truth.csv --pictures photos/ --html report.html
"""


def _number_or_all(context: click.Context, parameter: click.Parameter, text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise click.BadParameter(f"{text!r} is neither `all` nor a number from 1 to 10000", context, parameter)
    return int(text)


def _file_option(flag: str, help_: str) -> Callable[[Any], Any]:
    return click.option(flag, type=click.Path(path_type=Path, dir_okay=False), help=help_)


@click.command(epilog=EXAMPLE)
@click.argument("truth", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--top",
    type=click.IntRange(1, 10_000),
    multiple=True,
    default=(10, 50),
    show_default=True,
    help="Cutoff K; repeatable.",
)
@click.option(
    "--queries-per-concept",
    callback=_number_or_all,
    metavar="NUMBER|all",
    default="50",
    show_default=True,
    help="Queries chosen for each concept, where TRUTH lists none.",
)
@click.option(
    "--exclude",
    type=click.Choice(["self", "video"]),
    default="self",
    show_default=True,
    help="What a query never gets: itself, or all of its video.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the choice.")
@click.option("--frame-rate", type=click.FloatRange(0, 1000, min_open=True), help="TRUTH lists shots by frame number.")
@click.option("--against", metavar="RUN", help="Compare with an earlier evaluation: its id; offline, its --json file.")
@click.option("--name", help="What tables call it.  [default: the model's name]")
@click.option("--collection", help="Collection to evaluate.")
@click.option("--generation", metavar="NUMBER", help="One of the collection's generations.  [default: the live one]")
@_file_option("--html", "Write the report as one page.")
@_file_option("--csv", "Write every number, one a row.")
@_file_option("--markdown", "Write the tables as Markdown.")
@click.option("--offline", metavar="MODEL", help="No service: encode the pictures or videos here with a model.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Offline: folder that the ground truth's pictures lie in.",
)
@click.option(
    "--videos",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Offline: folder that the ground truth's videos lie in.",
)
@click.option("--every", metavar="TIME", default="1s", show_default=True, help="Offline: one key-frame a step.")
@client_options
@json_option
def cli(
    truth: Path,
    top: tuple[int, ...],
    queries_per_concept: int | Literal["all"],
    exclude: Literal["self", "video"],
    seed: int,
    frame_rate: float | None,
    against: str | None,
    name: str | None,
    collection: str | None,
    generation: str | None,
    offline: str | None,
    pictures: Path | None,
    videos: Path | None,
    every: str,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
    **files: Path | None,
) -> None:
    """Score retrieval against the ground truth TRUTH: MAP@K of each concept, with intervals and chance.

    A worker of the service evaluates the collection's codes; docs/evaluation.md says how TRUTH is written.
    """
    if offline is None and (pictures is not None or videos is not None):
        raise click.UsageError("--pictures and --videos go with --offline MODEL")
    options: dict[str, Any] = {
        "top": top,
        "queries_per_concept": queries_per_concept,
        "exclude": exclude,
        "seed": seed,
        "frame_rate": frame_rate,
        "against": against,
        "name": name,
    }
    if offline is not None:
        if (pictures is None) == (videos is None):
            raise click.UsageError("--offline needs one of --pictures FOLDER and --videos FOLDER")
        from hashreel.cli.evaluate_offline import evaluate_offline

        texts = evaluate_offline(
            truth, offline, pictures=pictures, videos=videos, every_s=parse_duration_s(every), **options
        )
        _show(texts.__getitem__, files, as_json)
        return
    with connect(url, data, api_key) as client:
        job = client.evaluate(truth, collection=collection, generation=generation, by=_user(), **options)
        try:
            click.echo(f"evaluation {job.id}", err=True)
            job.wait(progress=sys.stderr.isatty() and not as_json)
        except KeyboardInterrupt:
            job.cancel()
            raise
        _show(job.report, files, as_json)


def _user() -> str:
    try:
        return getpass.getuser()[:100]
    except (OSError, KeyError):  # a container's user may have no name
        return ""


def _show(report: Callable[[ReportFormat], str], files: Mapping[str, Path | None], as_json: bool) -> None:
    """Write the files that were asked for, then print the document or its main numbers."""
    for format_ in FORMATS:
        path = files[format_]
        if path is not None:
            path.write_bytes(report(format_).encode())
            click.echo(f"wrote {path}", err=True)
    document: dict[str, Any] = json.loads(report("json"))
    if as_json:
        print_json(document)
        return
    columns = ("run", "score", "mean over concepts", "95 % interval", "chance", "lowest to highest by ties")
    rows = [
        (
            row["arm"],
            row["metric"],
            f"{row['macro']:.4f}",
            f"{row['lower']:.4f} to {row['upper']:.4f}",
            f"{row['chance']:.4f}",
            "" if row["worst"] is None else f"{row['worst']:.4f} to {row['best']:.4f}",
        )
        for row in document["overall"]
        if row["metric"].startswith(SHOWN)
    ]
    print_table(columns, rows, right=range(2, 6))
    for row in document["comparisons"]:
        click.echo(
            f"{row['metric']}: difference {row['difference']:+.4f} ({row['lower']:+.4f} to {row['upper']:+.4f}), "
            f"p {row['p']:.3g}, better for {row['num_better']} of {row['num_concepts']} concepts"
        )
    for note in document["notes"]:
        click.echo(f"note: {note}", err=True)

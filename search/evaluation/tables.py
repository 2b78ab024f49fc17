"""The tables of a report as plain rows of text, in the form of the paper's Tables II and III and beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.evaluation.compare import Arm
from search.evaluation.metric import Metric
from search.evaluation.report import ConceptGroup, Report

__all__ = [
    "Cell",
    "Column",
    "Row",
    "Table",
    "comparison_table",
    "concept_tables",
    "overall_table",
    "radius_table",
    "report_tables",
    "setting_table",
]


@dataclass(frozen=True)
class Cell:
    """Text, and whether it is the better one of its pair (bold)."""

    text: str
    is_better: bool = False


@dataclass(frozen=True)
class Column:
    """A column's heading and the heading that it shares with its neighbours ("" for none)."""

    name: str
    group: str = ""


@dataclass(frozen=True)
class Row:
    """A row: its heading, its cells, and whether it sums up the rows above."""

    name: str
    cells: tuple[Cell, ...]
    is_summary: bool = False


@dataclass(frozen=True)
class Table:
    """A table: what it is of, the heading of the first column, the other columns, the rows, and a footnote."""

    title: str
    first_column: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def report_tables(report: Report) -> list[Table]:
    """Return all tables of a report in the order in which they are read."""
    tables = [*concept_tables(report), overall_table(report)]
    if report.comparisons:
        tables.append(comparison_table(report))
    return [*tables, *radius_tables(report), setting_table(report)]


def concept_tables(report: Report) -> list[Table]:
    """Return, for each group of concepts and each measure, the table concept x (K, arm), with chance beside it.

    The measures are AP under the primary normaliser, AP under "hits" (what the paper's code computes), and
    precision: published "MAP" can be any of them.
    """
    measures: list[tuple[str, Callable[[int], Metric]]] = [
        ("mean average precision over min(K, R), tie-aware", lambda k: Metric("map", k, "minKR")),
        ("mean average precision over hits, tie-aware", lambda k: Metric("map", k, "hits")),
        ("precision at K", lambda k: Metric("precision", k)),
    ]
    return [
        _concept_table(report, group, title, metrics)
        for group in report.groups
        for title, metric_at in measures
        if (metrics := [m for k in report.cutoffs if (m := metric_at(k)) in report.metrics])
    ]


def overall_table(report: Report) -> Table:
    """Return every metric's macro mean with its interval, micro and sharing means, chance and tie bounds."""
    columns = [
        *(Column(name, "Macro") for name in ("mean", "95 % interval", "chance")),
        *(Column(name, "Micro") for name in ("mean", "chance")),
        *(Column(name, "Shares a concept") for name in ("mean", "chance")),
        *(Column(name, "Tie order") for name in ("worst", "best")),
    ]
    rows = [
        Row(
            f"{o.metric.title} · {o.arm}" if report.baseline else o.metric.title,
            (
                Cell(percent(o.macro.estimate)),
                Cell(f"{percent(o.macro.lower)} to {percent(o.macro.upper)}"),
                *(Cell(percent(x)) for x in (o.chance, o.micro, o.micro_chance)),
                *(Cell(percent(x)) for x in (o.sharing, o.sharing_chance, o.worst, o.best)),
            ),
        )
        for o in sorted(report.overall, key=lambda o: report.metrics.index(o.metric))
    ]
    return Table(
        "All measures",
        "Measure",
        tuple(columns),
        tuple(rows),
        "Macro: mean over concepts of the mean over their queries. Micro: mean over (query, concept) pairs. "
        "Shares a concept: relevant is what shares at least one concept with the query. Intervals: hierarchical "
        "bootstrap over concepts, queries and seeds. Tie order: the lowest and highest macro mean that it allows.",
    )


def comparison_table(report: Report) -> Table:
    """Return the differences between the arms by the primary metrics, with intervals and p-values."""
    names = ("Difference", "95 % interval", "Concepts better", "p", "p (Holm)")
    rows = [
        Row(
            c.metric.title,
            (
                Cell(points(c.difference.estimate)),
                Cell(f"{points(c.difference.lower)} to {points(c.difference.upper)}"),
                Cell(f"{c.num_better} of {c.num_concepts}"),
                Cell(p_value(c.p)),
                Cell(p_value(c.p_holm)),
            ),
        )
        for c in report.comparisons
    ]
    second = report.baseline.name if report.baseline else ""
    return Table(
        f"{report.proposed.name} minus {second}",
        "Measure",
        tuple(Column(name) for name in names),
        tuple(rows),
        "In percentage points. Interval: paired hierarchical bootstrap over concepts, queries and seeds. "
        "p: two-sided sign-flip test over concepts.",
    )


def radius_tables(report: Report) -> list[Table]:
    """Return the calibrated radius table of every arm whose first run has one."""
    return [radius_table(arm) for arm in report.arms if any(c.calibrated for c in arm.runs[0].curves.values())]


def radius_table(arm: Arm) -> Table:
    """Return, for each concept, the largest distance at which hits of the arm's first run are right enough."""
    names = ("Distance ≤", "Precision", "Held out", "Recall", "Hits a query")
    found = {name: c.calibrated for name, c in arm.runs[0].curves.items() if c.calibrated is not None}
    rows = [
        Row(
            name,
            (
                Cell("none" if c.radius is None else str(c.radius)),
                *(Cell(percent(x)) for x in (c.precision, c.held_out_precision, c.recall)),
                Cell("–" if c.returned is None else f"{c.returned:.1f}"),
            ),
        )
        for name, c in found.items()
    ]
    target = f"{100 * next(iter(found.values())).target:g} %"
    return Table(
        f"Distance for {target} precision · {arm.name}",
        "Concept",
        tuple(Column(name) for name in names),
        tuple(rows),
        "Of all hits within the distance, the share that contains the concept. Held out: the distance chosen on "
        "one half of the queries, tried on the other.",
    )


def setting_table(report: Report) -> Table:
    """Return what was evaluated: settings of each arm's first run, sizes, seeds."""
    arms = report.arms
    facts = {
        "queries": [str(len(arm.runs[0].query_keys)) for arm in arms],
        "questions (query, concept)": [str(len(arm.runs[0].pairs)) for arm in arms],
        "gallery items": [str(arm.runs[0].gallery_size) for arm in arms],
        "runs (seeds)": [str(len(arm.runs)) for arm in arms],
    }
    for name in dict.fromkeys(name for arm in arms for name in arm.runs[0].settings):
        facts[name] = [str(arm.runs[0].settings.get(name, "–")) for arm in arms]
    rows = tuple(Row(name, tuple(Cell(text) for text in texts)) for name, texts in facts.items())
    return Table("What was evaluated", "", tuple(Column(arm.name) for arm in arms), rows)


def percent(value: float | None) -> str:
    """Return a share as a percentage with two decimals, as the paper prints it."""
    return "–" if value is None else f"{100 * value:.2f}%"


def points(value: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return f"{100 * value:+.2f}"


def p_value(value: float) -> str:
    """Return a p-value to read."""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _concept_table(report: Report, group: ConceptGroup, title: str, metrics: Sequence[Metric]) -> Table:
    columns = [
        Column(name, f"Top-{metric.k}") for metric in metrics for name in (*(arm.name for arm in report.arms), "chance")
    ]
    means = {m: [arm.concept_means(m) for arm in report.arms] for m in metrics}
    chance = {m: report.proposed.concept_means(m, "chance") for m in metrics}
    rows = [
        Row(
            concept,
            tuple(
                cell
                for m in metrics
                for cell in (*_bold_better([x[concept] for x in means[m]]), Cell(percent(chance[m][concept])))
            ),
        )
        for concept in group.concepts
    ]
    overall = tuple(
        cell
        for m in metrics
        for cell in (
            *_bold_better([arm.macro(m, concepts=group.concepts) for arm in report.arms]),
            Cell(percent(report.proposed.macro(m, "chance", group.concepts))),
        )
    )
    rows.append(Row("Overall", overall, is_summary=True))
    return Table(f"{group.title}: {title}", "Concept", tuple(columns), tuple(rows))


def _bold_better(values: Sequence[float]) -> list[Cell]:
    """Return cells with the highest in bold; none where the printed digits are equal, or for a single value."""
    texts = [percent(value) for value in values]
    best = texts[max(range(len(values)), key=lambda i: values[i])]
    return [Cell(text, is_better=text == best and texts.count(best) == 1 and len(texts) > 1) for text in texts]

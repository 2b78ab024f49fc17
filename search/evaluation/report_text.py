"""Reports as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from typing import Any

from hashreel.spreadsheets import harmless_cell
from search.evaluation.bootstrap import Interval
from search.evaluation.report import Report
from search.evaluation.run_json import run_to_dict
from search.evaluation.tables import Row, Table, report_tables

__all__ = ["REPORT_FORMAT", "REPORT_VERSION", "report_to_csv", "report_to_dict", "report_to_markdown"]

REPORT_FORMAT = "hashreel-evaluation"
REPORT_VERSION = 1

CSV_COLUMNS = (
    *("arm", "scope", "concept", "metric", "value", "lower", "upper", "chance", "worst_ties", "best_ties"),
    "questions",
)
OVERALL_PARTS = ("arm", "chance", "micro", "micro_chance", "sharing", "sharing_chance", "worst", "best")


def report_to_dict(report: Report, *, with_runs: bool = True) -> dict[str, Any]:
    """Return a report as one JSON document.

    Args:
        report: the report.
        with_runs: whether to include every run with the score of every query, which a later comparison needs.
    """
    document: dict[str, Any] = {
        "format": REPORT_FORMAT,
        "version": REPORT_VERSION,
        "title": report.title,
        "arms": [arm.name for arm in report.arms],
        "groups": [{"title": g.title, "concepts": list(g.concepts)} for g in report.groups],
        "overall": [
            {
                **_interval(o.macro, "macro"),
                **{name: getattr(o, name) for name in OVERALL_PARTS},
                "metric": o.metric.key,
            }
            for o in report.overall
        ],
        "concepts": _concept_rows(report),
        "comparisons": [
            {
                **_interval(c.difference, "difference"),
                **{name: getattr(c, name) for name in ("p", "p_holm", "num_concepts", "num_better")},
                "metric": c.metric.key,
            }
            for c in report.comparisons
        ],
        "calibrated": [
            {"arm": arm.name, "concept": name, **dataclasses.asdict(curves.calibrated)}
            for arm in report.arms
            for name, curves in arm.runs[0].curves.items()
            if curves.calibrated is not None
        ],
        "examples": [dataclasses.asdict(example) for example in report.examples],
        "notes": list(report.notes),
    }
    if with_runs:
        document["runs"] = [[run_to_dict(run) for run in arm.runs] for arm in report.arms]
    return document


def report_to_csv(report: Report) -> str:
    """Return a report as CSV, one number with its company a row.

    ``scope`` is "concept", "macro", "micro" or "sharing"; intervals stand in macro rows only.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for o in report.overall:
        shared = {"arm": harmless_cell(o.arm), "metric": o.metric.key}
        company = {"chance": o.chance, "worst_ties": o.worst, "best_ties": o.best}
        macro = {"value": o.macro.estimate, "lower": o.macro.lower, "upper": o.macro.upper}
        writer.writerow(shared | {"scope": "macro"} | macro | company)
        writer.writerow(shared | {"scope": "micro", "value": o.micro, "chance": o.micro_chance})
        writer.writerow(shared | {"scope": "sharing", "value": o.sharing, "chance": o.sharing_chance})
    writer.writerows({**row, "scope": "concept"} for row in _concept_rows(report))
    return text.getvalue()


def report_to_markdown(report: Report) -> str:
    """Return a report as Markdown with pipe tables."""
    parts = [f"# {_escape(report.title)}"]
    parts += [_markdown_table(table) for table in report_tables(report)]
    if report.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {_escape(note)}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _concept_rows(report: Report) -> list[dict[str, Any]]:
    rows = []
    for arm in report.arms:
        sizes = {concept: len(arm.runs[0].rows_of(concept)) for concept in arm.concepts}
        for metric in report.metrics:
            parts = {
                name: arm.concept_means(metric, part)
                for name, part in (
                    ("value", "values"),
                    ("chance", "chance"),
                    ("worst_ties", "worst"),
                    ("best_ties", "best"),
                )
                if metric.kind == "map" or part in ("values", "chance")
            }
            rows += [
                {
                    "arm": harmless_cell(arm.name),
                    "concept": harmless_cell(concept),
                    "metric": metric.key,
                    **{name: means[concept] for name, means in parts.items()},
                    "questions": sizes[concept],
                }
                for concept in arm.concepts
            ]
    return rows


def _interval(interval: Interval, name: str) -> dict[str, float]:
    return {name: interval.estimate, "lower": interval.lower, "upper": interval.upper, "level": interval.level}


def _markdown_table(table: Table) -> str:
    heads = [_escape(f"{c.group} {c.name}".strip()) for c in table.columns]
    lines = [
        f"## {_escape(table.title)}",
        "",
        "| " + " | ".join([_escape(table.first_column), *heads]) + " |",
        "| --- |" + " ---: |" * len(heads),
        *(_markdown_row(row) for row in table.rows),
    ]
    return "\n".join([*lines, "", _escape(table.note)] if table.note else lines)


def _markdown_row(row: Row) -> str:
    name = _escape(row.name)
    cells = [f"**{_escape(c.text)}**" if c.is_better else _escape(c.text) for c in row.cells]
    return "| " + " | ".join([f"*{name}*" if row.is_summary else name, *cells]) + " |"


def _escape(text: str) -> str:
    """Return text that Markdown shows as it is: no table break, no emphasis, no HTML, no link, one line."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))

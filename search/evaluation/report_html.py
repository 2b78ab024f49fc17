"""A report as one HTML page that needs nothing else: style, charts and pictures are inside, scripts there are none."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.charts import Series, line_chart
from search.evaluation.compare import Arm
from search.evaluation.examples import Example, ExampleHit
from search.evaluation.groups import FloatArray
from search.evaluation.report import Report
from search.evaluation.tables import Row, Table, percent, report_tables

__all__ = ["picture_data_uri", "report_to_html"]

SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)

# Even if a caller's text slipped through unescaped, the page may load and run nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

STYLE = """
:root{color-scheme:light dark;--ink:#1c1f23;--soft:#5b6470;--paper:#fff;--rule:#d9dde2;--good:#1a7f4b;--bad:#b3372f;
--c0:#1f5fbf;--c1:#c2571a}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa4b0;--paper:#16181c;--rule:#343a42;--good:#5fcf94;
--bad:#ff8f86;--c0:#7db1ff;--c1:#ffab73}}
body{margin:0 auto;padding:2rem 1rem 4rem;max-width:72rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.7rem}h2{margin-top:2.5rem;font-size:1.2rem}h3{font-size:1rem;margin-bottom:.3rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5rem 0}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child{text-align:left}thead th{border-bottom:2px solid var(--soft)}tr.sum>*{border-top:2px solid var(--soft)}
th{font-weight:600}tbody th{font-weight:400}tr.sum th{font-weight:600}
thead tr:first-child th[colspan]{text-align:center}
.note,.soft{color:var(--soft);font-size:.87rem;max-width:60rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:1rem}
.charts figure{margin:0}
.chart{width:100%;height:auto}.chart text{fill:var(--ink);font-size:12px}.chart .tick{fill:var(--soft);font-size:11px}
.chart .grid{stroke:var(--rule);stroke-width:1;fill:none}.chart .line{fill:none;stroke-width:2}
.line0{stroke:var(--c0)}.line1{stroke:var(--c1);stroke-dasharray:7 4}
.answer{display:flex;gap:.5rem;overflow-x:auto;padding:.3rem 0 .8rem;margin:0;list-style:none}
.answer li{flex:0 0 7.5rem;font-size:.78rem;line-height:1.3;overflow-wrap:anywhere}
.answer img,.blank{display:block;width:7.5rem;height:5.6rem;object-fit:cover;background:var(--rule);
border-bottom:4px solid var(--rule)}
.query img,.query .blank{border-bottom-color:var(--c0)}.yes img,.yes .blank{border-bottom-color:var(--good)}
.no img,.no .blank{border-bottom-color:var(--bad)}.yes b{color:var(--good)}.no b{color:var(--bad)}
"""


def report_to_html(report: Report, pictures: Mapping[str, bytes] | None = None) -> str:
    """Return a report as a self-contained HTML page.

    Args:
        report: the report.
        pictures: small JPEG, PNG, GIF or WebP files by key: of the examples' queries and hits. A key without
            a picture gets an empty frame.

    Raises:
        BadInputError: If a picture is of another format.
    """
    images = {key: picture_data_uri(data) for key, data in (pictures or {}).items()}
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(report.title)}</h1>",
        *_notes(report.notes),
        *(_table(table) for table in report_tables(report)),
        _charts(report.arms),
        *_examples(report.examples, images),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def picture_data_uri(data: bytes) -> str:
    """Return a picture's file as a data URI.

    Raises:
        BadInputError: If the bytes do not begin as JPEG, PNG, GIF or WebP (an SVG, for one, could hold scripts).
    """
    kind = next((mime for start, mime in SIGNATURES if data.startswith(start)), None)
    if kind is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        raise BadInputError(f"a picture begins with {data[:8]!r}; accepted: JPEG, PNG, GIF or WebP files")
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _notes(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    return ["<ul class='note'>", *(f"<li>{escape(note)}</li>" for note in notes), "</ul>"]


def _table(table: Table) -> str:
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    body = "".join(_row(row) for row in table.rows)
    return (
        f"<section><h2>{escape(table.title)}</h2><div class='scroll'><table><thead>{_head(table)}</thead>"
        f"<tbody>{body}</tbody></table></div>{note}</section>"
    )


def _head(table: Table) -> str:
    names = "".join(f'<th scope="col">{escape(c.name)}</th>' for c in table.columns)
    first = escape(table.first_column)
    if not any(c.group for c in table.columns):
        return f'<tr><th scope="col">{first}</th>{names}</tr>'
    spans = [(group, len(list(columns))) for group, columns in groupby(table.columns, key=lambda c: c.group)]
    groups = "".join(f'<th scope="colgroup" colspan="{size}">{escape(group)}</th>' for group, size in spans)
    return f'<tr><th scope="col" rowspan="2">{first}</th>{groups}</tr><tr>{names}</tr>'


def _row(row: Row) -> str:
    cells = "".join(
        f"<td><b>{escape(cell.text)}</b></td>" if cell.is_better else f"<td>{escape(cell.text)}</td>"
        for cell in row.cells
    )
    return f'<tr{" class=sum" if row.is_summary else ""}><th scope="row">{escape(row.name)}</th>{cells}</tr>'


def _charts(arms: Sequence[Arm]) -> str:
    curves = [(arm, arm.runs[0].macro_curve) for arm in arms]
    by_radius = [(arm.name, curve) for arm, curve in curves if curve is not None]
    tops = [(arm.name, arm.runs[0].top_curve) for arm in arms]
    charts = []
    if by_radius:
        recall = [Series(name, c.recall, c.pooled_precision) for name, c in by_radius]
        charts.append(line_chart("Precision against recall by radius", "recall", "precision", recall))
        radii = [Series(name, _steps(c.recall), c.pooled_precision) for name, c in by_radius]
        charts.append(line_chart("Precision by radius", "Hamming distance ≤", "precision", radii))
    for label in ("precision", "recall"):
        lines = [Series(n, c.cutoffs.astype(np.float64), getattr(c, label)) for n, c in tops if c is not None]
        if lines:
            charts.append(line_chart(f"{label.capitalize()} at K", "K", f"{label} at K", lines, x_log=True))
    if not charts:
        return ""
    figures = "".join(f"<figure>{chart}</figure>" for chart in charts)
    note = (
        "Means over concepts, of each arm's first run. Precision within a radius is pooled over a concept's "
        "queries; where no query of any concept gets a hit there is no point."
    )
    return f'<section><h2>Curves</h2><div class="charts">{figures}</div><p class="note">{note}</p></section>'


def _steps(like: FloatArray) -> FloatArray:
    return np.arange(len(like), dtype=np.float64)


def _examples(examples: Sequence[Example], images: Mapping[str, str]) -> list[str]:
    if not examples:
        return []
    parts = ["<section><h2>Best and worst queries</h2>"]
    for concept, group in groupby(examples, key=lambda e: e.concept):
        parts.append(f"<h3>{escape(concept)}</h3>")
        parts += [_example(example, images) for example in group]
    return [*parts, "</section>"]


def _example(example: Example, images: Mapping[str, str]) -> str:
    query = (
        f'<li class="query">{_picture(example.query_key, "query", images)}<b>{example.kind} query</b><br>'
        f"{percent(example.score)}<br>{escape(example.query_key)}</li>"
    )
    return f'<ol class="answer">{query}{"".join(_hit(hit, images) for hit in example.hits)}</ol>'


def _hit(hit: ExampleHit, images: Mapping[str, str]) -> str:
    kind, word = ("yes", "✓ right") if hit.is_relevant else ("no", "✗ other")
    caption = escape(hit.caption or hit.key)
    picture = _picture(hit.key, word[2:], images)
    return f'<li class="{kind}">{picture}<b>{word}</b><br>distance {hit.distance}<br>{caption}</li>'


def _picture(key: str, word: str, images: Mapping[str, str]) -> str:
    if key not in images:
        return '<span class="blank"></span>'
    return f'<img src="{images[key]}" alt="{escape(f"{word}: {key}")}">'

"""Reports: the paper's tables in form, and that nothing a user named can break a page."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import evaluation_cases as cases
import numpy as np
import pytest

from hashreel.errors import BadInputError
from search.evaluation import (
    Arm,
    Example,
    ExampleHit,
    Exclusion,
    Labels,
    Metric,
    choose_examples,
    count_distances,
    evaluate,
    make_report,
    nearest_items,
    report_to_csv,
    report_to_dict,
    report_to_html,
    report_to_markdown,
    run_from_dict,
)
from search.evaluation.charts import Series, line_chart
from search.evaluation.report_html import picture_data_uri
from search.evaluation.tables import concept_tables, overall_table, percent, report_tables

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
NASTY = '<script>alert("x")</script> & | * `x` [y](z)'


def both_arms():
    return Arm("good", (cases.random_run("g", 0, noise=0.1),)), Arm("bad", (cases.random_run("b", 0, noise=0.4),))


def report(**options):
    return make_report(*both_arms(), resamples=200, **options)


class Page(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "path":
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_concept_tables_have_the_papers_form():
    made = report(groups={"Local concepts": ["dog", "cat"]})
    tables = concept_tables(made)
    assert [t.title for t in tables[::3]] == [
        "Local concepts: mean average precision over min(K, R), tie-aware",
        "Other concepts: mean average precision over min(K, R), tie-aware",
    ]
    table = tables[0]
    assert [(c.group, c.name) for c in table.columns] == [
        *(("Top-10", name) for name in ("good", "bad", "chance")),
        *(("Top-50", name) for name in ("good", "bad", "chance")),
    ]
    assert [row.name for row in table.rows] == ["dog", "cat", "Overall"]
    means = made.proposed.concept_means(Metric("map", 10, "minKR"))
    assert table.rows[0].cells[0].text == f"{100 * means['dog']:.2f}%"
    assert table.rows[2].cells[0].text == percent((means["dog"] + means["cat"]) / 2)
    assert table.rows[2].is_summary
    assert [cell.is_better for cell in table.rows[0].cells] == [True, False, False] * 2


def test_neither_of_two_equal_numbers_is_bold():
    arm, _ = both_arms()
    made = make_report(arm, dataclasses.replace(arm, name="twin"), resamples=20)
    assert not any(cell.is_better for table in report_tables(made) for row in table.rows for cell in row.cells)


def test_a_single_arm_has_no_bold_and_no_comparison():
    made = make_report(both_arms()[0], resamples=20)
    assert made.comparisons == ()
    assert not any(cell.is_better for table in report_tables(made) for row in table.rows for cell in row.cells)
    assert [c.name for c in concept_tables(made)[0].columns] == ["good", "chance"] * 2


def test_the_overall_table_prints_every_measure_beside_its_chance():
    made = report()
    table = overall_table(made)
    assert len(table.rows) == 2 * len(made.metrics)
    row = next(r for r in table.rows if r.name == "P@10 · good")
    cells = dict(zip([f"{c.group} {c.name}" for c in table.columns], [c.text for c in row.cells], strict=True))
    run = made.proposed.runs[0]
    assert cells["Macro mean"] == percent(run.macro(Metric("precision", 10)))
    assert cells["Macro chance"] == percent(run.macro(Metric("precision", 10), "chance"))
    assert cells["Shares a concept mean"] == percent(run.sharing(Metric("precision", 10)))
    assert cells["Tie order worst"] == "–"


def test_comparisons_are_of_the_primary_metrics_as_one_family():
    assert [c.metric.key for c in report().comparisons] == ["map@10:minKR", "map@50:minKR"]


def test_warnings_of_runs_become_notes_once():
    first, second = both_arms()
    warned = [
        Arm(arm.name, tuple(dataclasses.replace(run, warnings=("few cats", *own)) for run in arm.runs))
        for arm, own in ((first, ()), (second, ("odd",)))
    ]
    made = make_report(*warned, notes=["synthetic"], resamples=20)
    assert made.notes == ("synthetic", "few cats", "b: odd")


@pytest.mark.parametrize("groups", [{"x": ["cow"]}, {"x": ["cat"], "y": ["cat"]}])
def test_groups_of_unknown_or_repeated_concepts_are_refused(groups):
    with pytest.raises(BadInputError, match="concept groups name"):
        report(groups=groups)


def test_json_holds_everything_a_later_comparison_needs():
    made = report()
    document = json.loads(json.dumps(report_to_dict(made), allow_nan=False))
    assert document["format"] == "hashreel-evaluation"
    again = Arm("good", tuple(run_from_dict(run) for run in document["runs"][0]))
    assert make_report(again, made.baseline, resamples=200).overall == made.overall
    primary = next(o for o in document["overall"] if (o["arm"], o["metric"]) == ("good", "map@10:minKR"))
    assert primary["macro"] == made.proposed.macro(Metric("map", 10, "minKR"))
    assert primary["lower"] < primary["macro"] < primary["upper"]
    assert len(document["comparisons"]) == 2
    assert "runs" not in report_to_dict(made, with_runs=False)


def test_csv_holds_one_number_a_row():
    made = report()
    rows = list(csv.DictReader(io.StringIO(report_to_csv(made), newline="")))
    assert len(rows) == 2 * len(made.metrics) * (3 + len(cases.CONCEPTS))
    row = next(r for r in rows if (r["arm"], r["concept"], r["metric"]) == ("bad", "dog", "recall@50"))
    assert float(row["value"]) == made.baseline.concept_means(Metric("recall", 50))["dog"]
    assert row["scope"] == "concept"
    assert int(row["questions"]) == len(made.baseline.runs[0].rows_of("dog"))


def test_markdown_tables_are_whole_and_bold_the_better():
    made = report()
    text = report_to_markdown(made)
    assert "| Concept | Top-10 good | Top-10 bad | Top-10 chance | Top-50 good |" in text
    for table in re.split(r"\n\n", text):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.replace(r"\|", "").count("|") for line in lines}) <= 1
    assert re.search(r"\| cat \| \*\*\d+\.\d\d%\*\* \| \d+\.\d\d% \|", text)


def nasty_report():
    """Return a report in which everything that a user may name holds markup."""
    counts, keys = cases.random_counts()
    names = (NASTY, "</table>", '"><img src=x onerror=y>')
    run = evaluate(counts, names, [f"{NASTY}{k}" for k in keys], name=NASTY, settings={NASTY: NASTY}, warnings=[NASTY])
    hits = (ExampleHit(NASTY, 3, True, caption=NASTY), ExampleHit("no picture", 4, False))
    example = Example(names[0], NASTY, "best", 0.5, hits)
    return make_report(Arm(NASTY, (run,)), title=NASTY, groups={NASTY: [names[1]]}, examples=[example], resamples=20)


def test_nothing_that_a_user_named_becomes_markup_in_html():
    page = Page(report_to_html(nasty_report(), {NASTY: PNG}))
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "link", "object", "a"}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    assert NASTY in "".join(page.words)


def test_nothing_that_a_user_named_becomes_markup_in_markdown():
    text = report_to_markdown(nasty_report())
    assert "<script>" not in text
    assert "[y](z)" not in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert " | ".join(re.split(r"(?<!\\)\|", line)).count(NASTY) == 0


def test_the_page_needs_nothing_from_elsewhere():
    text = report_to_html(report())
    page = Page(text)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(?!data:)", text)
    assert "url(" not in text
    policies = [
        a["content"] for tag, a in page.tags if tag == "meta" and "content" in a and "default-src" in a["content"]
    ]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert sum(tag == "svg" for tag, _ in page.tags) == 4
    spans = [int(a["colspan"]) for tag, a in page.tags if tag == "th" and "colspan" in a]
    assert spans[:2] == [3, 3]


def test_the_better_one_is_bold_on_the_page():
    text = report_to_html(report())
    assert re.search(r'<th scope="row">cat</th><td><b>\d+\.\d\d%</b></td><td>\d+\.\d\d%</td>', text)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF0000WEBP", b"\x89PNG\r\n\x1a\n"])
def test_pictures_become_data_uris(start):
    assert re.fullmatch(r"data:image/(jpeg|gif|webp|png);base64,[A-Za-z0-9+/=]+", picture_data_uri(start + b"x"))


@pytest.mark.parametrize("data", [b"", b"<svg onload=x>", b"RIFF0000WAVE"])
def test_other_bytes_are_no_picture(data):
    with pytest.raises(BadInputError, match="accepted: JPEG, PNG, GIF or WebP"):
        picture_data_uri(data)


def test_charts_leave_out_what_is_not_defined_and_stand_inside_their_frame():
    xs, ys = np.array([0.0, 1, 2, 4]), np.array([np.nan, 1, 0.5, 0])
    chart = line_chart("t", "x & y", "share", [Series("a<b", xs, ys)])
    path = re.search(r'class="line line0" d="M([^"]+)"', chart).group(1)
    points = [tuple(map(float, point.split())) for point in path.split("L")]
    assert len(points) == 3
    assert points[0][1] < points[1][1] < points[2][1]
    assert all(0 <= x <= 460 and 0 <= y <= 300 for x, y in points)
    assert "x &amp; y" in chart
    assert "a&lt;b" in chart


@pytest.mark.parametrize("x_log", [False, True])
@pytest.mark.parametrize("xs", [[], [3.0], [2.0, 2.0], [1.0, 1000.0]])
def test_charts_of_few_points_are_drawn(xs, x_log):
    Page(line_chart("t", "x", "y", [Series("s", np.array(xs), np.array(xs) * 0)], x_log=x_log))


def test_examples_are_the_best_and_the_worst_of_each_concept():
    run = cases.random_run()
    metric = Metric("map", 10, "minKR")
    for concept in run.asked_concepts:
        values = run.values(metric)[run.rows_of(concept)]
        chosen = [c for c in choose_examples(run, metric, 2) if c.concept == concept]
        assert [c.kind for c in chosen] == ["best", "best", "worst", "worst"]
        assert [c.score for c in chosen] == [*sorted(values)[::-1][:2], *sorted(values)[:2]]
        assert len({c.pair for c in chosen}) == 4
    assert choose_examples(run, metric, 0) == []


def test_a_query_is_never_both_best_and_worst():
    labels = Labels.from_sets([{"cat"}] * 3, ("cat",))
    codes = np.array([[0], [1], [3]], dtype=np.uint8)
    run = evaluate(count_distances(codes, codes, labels, labels), ("cat",), ["a", "b", "c"])
    chosen = choose_examples(run, Metric("map", 10, "minKR"), 5)
    assert [(c.query, c.kind) for c in chosen] == [(0, "best"), (1, "best"), (2, "worst")]


def test_nearest_items_come_by_distance_then_id_without_what_is_left_out():
    codes = np.array([[0], [1], [2], [0], [15]], dtype=np.uint8)
    ids = np.array([9, 8, 7, 6, 5])
    distances, rows = nearest_items(codes[0], codes, ids, 4)
    assert (distances.tolist(), rows.tolist()) == ([0, 0, 1, 1], [3, 0, 2, 1])
    own = Exclusion.of_self(np.array([0]), 5)
    distances, rows = nearest_items(codes[0], codes, ids, 10, exclusion=own)
    assert (distances.tolist(), rows.tolist()) == ([0, 1, 1, 4], [3, 2, 1, 4])


def test_shuffling_the_gallery_changes_no_reported_digit():
    counts, _ = cases.random_counts()
    rng = np.random.default_rng(9)
    gallery = Labels(cases.CONCEPTS, rng.random((200, 3)) < 0.4)
    codes = rng.integers(0, 256, (200, 2), dtype=np.uint8)
    rows = np.flatnonzero(gallery.matrix.any(axis=1))[:60]
    texts = []
    for order in (np.arange(200), rng.permutation(200)):
        where = np.argsort(order)
        found = count_distances(
            codes[rows],
            codes[order],
            gallery.take(rows),
            gallery.take(order),
            exclusion=Exclusion.of_self(where[rows], 200),
        )
        run = evaluate(found, cases.CONCEPTS, [str(r) for r in rows])
        made = make_report(Arm("a", (run,)), resamples=100)
        texts.append((report_to_csv(made), report_to_html(made), report_to_markdown(made), report_to_dict(made)))
    assert texts[0] == texts[1]
    assert counts.is_complete

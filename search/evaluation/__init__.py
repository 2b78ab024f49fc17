"""Retrieval evaluation: tie-aware average precision and its company. numpy only.

Codes or an index's answers become counts by distance, counts become a run's scores, runs become arms, and arms
a report::

    counts = count_distances(query_codes, gallery_codes, query_labels, gallery_labels)
    run = evaluate(counts, query_labels.concepts, query_keys)
    report = make_report(Arm("proposed", (run,)))
    print(report_to_markdown(report))
"""

from search.evaluation.answers import AnswerCounter, AnsweringIndex, count_answers, fetch_answers
from search.evaluation.average_precision import (
    NORMALISERS,
    Normaliser,
    expected_average_precision,
    expected_average_precisions,
)
from search.evaluation.bootstrap import Interval, bootstrap_difference, bootstrap_mean
from search.evaluation.calibration import CalibratedRadius, calibrate_radius
from search.evaluation.chance import (
    chance_average_precision,
    chance_average_precision_at_r,
    chance_precision,
    chance_recall,
)
from search.evaluation.compare import Arm, Comparison, compare
from search.evaluation.distance_counts import DistanceCounts
from search.evaluation.evaluate import evaluate
from search.evaluation.exact import exact_average_precision
from search.evaluation.examples import Example, ExampleChoice, ExampleHit, choose_examples, nearest_items
from search.evaluation.exclusion import NO_GROUP, Exclusion
from search.evaluation.exhaustive import count_distances
from search.evaluation.items import Exclude, Items, Questions, ask, frame_items, picture_items
from search.evaluation.labels import Labels, all_pairs
from search.evaluation.metric import DEFAULT_CUTOFFS, Metric, Scores, metrics_for, score_rows
from search.evaluation.metrics import (
    RadiusCurve,
    average_precision_at_r,
    precision_at,
    radius_curve,
    recall_at,
)
from search.evaluation.procedure import count_questions, evaluate_items, show_examples
from search.evaluation.queries import DEFAULT_QUERIES_PER_CONCEPT, QueryChoice, choose_queries
from search.evaluation.report import ConceptGroup, Overall, Report, make_report
from search.evaluation.report_html import report_to_html
from search.evaluation.report_text import report_to_csv, report_to_dict, report_to_markdown
from search.evaluation.run import EvaluationRun
from search.evaluation.run_json import run_from_dict, run_to_dict
from search.evaluation.significance import holm_adjusted, sign_flip_p
from search.evaluation.tie_bounds import average_precision_bounds
from search.evaluation.truth import Truth, TruthRecord
from search.evaluation.truth_files import parse_csv, parse_json_lines, parse_shots, read_shots, read_truth

__all__ = [
    "DEFAULT_CUTOFFS",
    "DEFAULT_QUERIES_PER_CONCEPT",
    "NORMALISERS",
    "NO_GROUP",
    "AnswerCounter",
    "AnsweringIndex",
    "Arm",
    "CalibratedRadius",
    "Comparison",
    "ConceptGroup",
    "DistanceCounts",
    "EvaluationRun",
    "Example",
    "ExampleChoice",
    "ExampleHit",
    "Exclude",
    "Exclusion",
    "Interval",
    "Items",
    "Labels",
    "Metric",
    "Normaliser",
    "Overall",
    "QueryChoice",
    "Questions",
    "RadiusCurve",
    "Report",
    "Scores",
    "Truth",
    "TruthRecord",
    "all_pairs",
    "ask",
    "average_precision_at_r",
    "average_precision_bounds",
    "bootstrap_difference",
    "bootstrap_mean",
    "calibrate_radius",
    "chance_average_precision",
    "chance_average_precision_at_r",
    "chance_precision",
    "chance_recall",
    "choose_examples",
    "choose_queries",
    "compare",
    "count_answers",
    "count_distances",
    "count_questions",
    "evaluate",
    "evaluate_items",
    "exact_average_precision",
    "expected_average_precision",
    "expected_average_precisions",
    "fetch_answers",
    "frame_items",
    "holm_adjusted",
    "make_report",
    "metrics_for",
    "nearest_items",
    "parse_csv",
    "parse_json_lines",
    "parse_shots",
    "picture_items",
    "precision_at",
    "radius_curve",
    "read_shots",
    "read_truth",
    "recall_at",
    "report_to_csv",
    "report_to_dict",
    "report_to_html",
    "report_to_markdown",
    "run_from_dict",
    "run_to_dict",
    "score_rows",
    "show_examples",
    "sign_flip_p",
]

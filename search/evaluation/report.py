"""All that an evaluation has to say, worked out once; CSV, Markdown, HTML and JSON only write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hashreel.errors import BadInputError
from search.evaluation.bootstrap import Interval
from search.evaluation.compare import DEFAULT_RESAMPLES, Arm, Comparison, compare
from search.evaluation.examples import Example
from search.evaluation.metric import PRIMARY_NORMALISER, Metric

__all__ = ["ConceptGroup", "Overall", "Report", "make_report"]


@dataclass(frozen=True)
class ConceptGroup:
    """Concepts that share a table, such as "Global concepts"."""

    title: str
    concepts: tuple[str, ...]


@dataclass(frozen=True)
class Overall:
    """The means of one arm by one metric.

    Attributes:
        arm: the name of the arm.
        metric: what was measured.
        macro: mean over concepts, with its interval.
        chance: the macro mean of a random ranking.
        micro: mean over (query, concept) pairs.
        micro_chance: the same of a random ranking.
        sharing: mean over queries, relevant being what shares at least one concept.
        sharing_chance: the same of a random ranking.
        worst: the macro mean of the lowest scores that the order of ties allows; None but for AP@K.
        best: of the highest.
    """

    arm: str
    metric: Metric
    macro: Interval
    chance: float
    micro: float
    micro_chance: float
    sharing: float
    sharing_chance: float
    worst: float | None
    best: float | None


@dataclass(frozen=True)
class Report:
    """An evaluation, worked out.

    Attributes:
        title: the heading.
        proposed: the arm that is evaluated.
        baseline: the arm that it is compared with, or None.
        groups: the concepts, by table.
        overall: the means of each arm and metric.
        comparisons: of the primary metrics; empty without a baseline.
        examples: best and worst queries of the proposed arm.
        notes: what the reader must know: warnings of all runs, caveats.
    """

    title: str
    proposed: Arm
    baseline: Arm | None
    groups: tuple[ConceptGroup, ...]
    overall: tuple[Overall, ...]
    comparisons: tuple[Comparison, ...]
    examples: tuple[Example, ...]
    notes: tuple[str, ...]

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms, the proposed one first."""
        return (self.proposed,) if self.baseline is None else (self.proposed, self.baseline)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What both arms measured."""
        return _common_metrics(self.proposed, self.baseline)

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """The cutoffs K, ascending."""
        return tuple(sorted({m.k for m in self.metrics if m.k is not None}))


def make_report(
    proposed: Arm,
    baseline: Arm | None = None,
    *,
    title: str = "Retrieval evaluation",
    groups: Mapping[str, Sequence[str]] | None = None,
    examples: Sequence[Example] = (),
    notes: Sequence[str] = (),
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Report:
    """Return the report of one arm, or of two on the same questions.

    Args:
        proposed: the arm that is evaluated.
        baseline: the arm that it is compared with.
        title: the heading.
        groups: table titles with their concepts, such as global and local ones; concepts that no group names
            get a table of their own.
        examples: best and worst queries with their hits.
        notes: caveats to print.
        resamples: bootstrap resamples of every interval.
        seed: of the random generator; equal input gives an equal report.

    Raises:
        BadInputError: If the arms answered different questions, or a group names an unknown concept.
    """
    metrics = _common_metrics(proposed, baseline)
    arms = (proposed,) if baseline is None else (proposed, baseline)
    primaries = [m for m in metrics if m.kind == "map" and m.normaliser == PRIMARY_NORMALISER]
    return Report(
        title=title,
        proposed=proposed,
        baseline=baseline,
        groups=_groups(proposed.concepts, groups or {}),
        overall=tuple(_overall(arm, metric, resamples, seed) for arm in arms for metric in metrics),
        comparisons=()
        if baseline is None
        else tuple(compare(proposed, baseline, primaries, resamples=resamples, seed=seed)),
        examples=tuple(examples),
        notes=tuple(dict.fromkeys((*notes, *_warnings(arms)))),
    )


def _common_metrics(proposed: Arm, baseline: Arm | None) -> tuple[Metric, ...]:
    return tuple(m for m in proposed.metrics if baseline is None or m in baseline.metrics)


def _groups(concepts: Sequence[str], groups: Mapping[str, Sequence[str]]) -> tuple[ConceptGroup, ...]:
    named = [name for members in groups.values() for name in members]
    unknown = sorted(set(named) - set(concepts))
    if unknown or len(set(named)) != len(named):
        raise BadInputError(
            f"concept groups name {', '.join(unknown) or 'a concept twice'}; expected each of these at most once: "
            + ", ".join(concepts)
        )
    rest = tuple(name for name in concepts if name not in named)
    tables = [ConceptGroup(title, tuple(members)) for title, members in groups.items() if members]
    if rest:
        tables.append(ConceptGroup("Other concepts" if tables else "Concepts", rest))
    return tuple(tables)


def _overall(arm: Arm, metric: Metric, resamples: int, seed: int) -> Overall:
    has_bounds = metric.kind == "map"
    return Overall(
        arm=arm.name,
        metric=metric,
        macro=arm.interval(metric, resamples=resamples, seed=seed),
        chance=arm.macro(metric, "chance"),
        micro=arm.micro(metric),
        micro_chance=arm.micro(metric, "chance"),
        sharing=arm.sharing(metric),
        sharing_chance=arm.sharing(metric, "chance"),
        worst=arm.macro(metric, "worst") if has_bounds else None,
        best=arm.macro(metric, "best") if has_bounds else None,
    )


def _warnings(arms: Sequence[Arm]) -> list[str]:
    """Return the warnings of all runs; those that every run shares are said once, without a name."""
    runs = [run for arm in arms for run in arm.runs]
    shared = [w for w in runs[0].warnings if all(w in run.warnings for run in runs)]
    own = [f"{run.name}: {w}" for run in runs for w in run.warnings if w not in shared]
    return shared + own

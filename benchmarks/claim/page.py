"""The page of the verdict: what was compared, on what, the differences with intervals, and what they do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.claim.arms import ARMS, BASELINES, PRIMARIES, PROPOSED
from benchmarks.claim.campaign import PRIMARY, Campaign, Result, measured
from benchmarks.claim.protocol import Protocol
from benchmarks.claim.statistics import LEAST_PAIRS, Chooser, Difference, Scoreboard, Verdict, decide
from search.evaluation import Interval, Metric

__all__ = ["write_page"]

TRACK_TITLES = {
    "cifar": "Hash phase on CIFAR-10",
    "labels": "Hash phase on the mask pictures' own labels",
}
SYNTHETIC = (
    "**Synthetic:** generated scenes stand in for all data, and their backgrounds for CIFAR-10. This page shows that "
    "the campaign works; it is no finding."
)
WIDTH = 120
PRELIMINARY = (
    "**Preliminary:** {done} of the {planned} planned seeds are done. The command without `--seeds` adds the others\n"
    "and writes this page anew."
)
SECONDARY = Metric("map", 50, "minKR")
AREAS = ((0.005, 0.02), (0.02, 0.1), (0.1, 1.01))
COUNTS = ((1, 2), (2, 4), (4, 10**6))


def write_page(folder: Path, campaign: Campaign, results: Sequence[Result], command: str, *, planned: int = 0) -> None:
    """Write claim.md into ``folder``.

    Args:
        folder: where to.
        campaign: whose results these are.
        results: of both tracks, all arms, the same seeds for each.
        command: that made them.
        planned: seeds of the full campaign; with fewer the page says that it is preliminary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    questions, protocol = campaign.questions(), campaign.protocol
    seeds = sorted({result["seed"] for result in results})
    boards = {
        track: Scoreboard(questions, [r for r in results if r["track"] == track])
        for track in TRACK_TITLES
        if any(r["track"] == track for r in results)
    }
    verdicts = {track: decide(board, PRIMARY) for track, board in boards.items()}
    parts = ["# Do masks help codes? The paper's claim, tested"]
    parts += [SYNTHETIC] if protocol.recipe == "generated" else []
    parts += [PRELIMINARY.format(done=len(seeds), planned=planned)] if len(seeds) < planned else []
    parts += [_verdict(verdicts, protocol), _about(protocol, command)]
    parts += [_data(questions, protocol, seeds)]
    for track, board in boards.items():
        parts += [f"## {TRACK_TITLES[track]}", _primary_table(board, verdicts[track])]
        parts += ["### By kind of question", _difference_table(board), _score_tables(board, protocol)]
        parts += ["### By area and number of regions", _slices(board)]
    parts += ["## Settings", _tuning_table(campaign, list(boards)), _pretraining_table(campaign, seeds)]
    text = "\n\n".join(_wrapped(part) for part in parts if part)
    (folder / "claim.md").write_text(text + "\n", encoding="utf-8")


def _wrapped(text: str) -> str:
    """Return text with its long lines broken, but not those of tables."""
    lines = [
        line
        if line.startswith(("|", "#"))
        else fill(line, WIDTH, subsequent_indent="  " if line.startswith("- ") else "")
        for line in text.splitlines()
    ]
    return "\n".join(lines)


def _verdict(verdicts: Mapping[str, Verdict], protocol: Protocol) -> str:
    lines = []
    for track, verdict in verdicts.items():
        held = {b: f"{PROPOSED} > {b} {verdict.answer(b)}" for b in PRIMARIES}
        reasons = "; ".join(
            f"{held[b]} ({_signed(d)}, p {verdict.p_holm[b]:.3f})" for b, d in verdict.differences.items()
        )
        answer = "The claim holds" if verdict.claim_holds else "The claim is not confirmed"
        lines.append(f"- {TRACK_TITLES[track]}: **{answer}.** {reasons}.")
    return "\n".join(
        [
            f"Verdict for the reduced network ({_network(protocol)}); it says nothing about the paper's own network, "
            f"which is larger and trained from the pixels up. In brackets: difference in macro {PRIMARY.title}, its "
            "95 % interval, and the sign-flip p over concepts after Holm's correction for the two. Both "
            f"{' and '.join(f'{PROPOSED} > {b}' for b in PRIMARIES)} are needed, each with an interval above 0 and "
            "p < 0.05.",
            "",
            *lines,
        ]
    )


def _network(protocol: Protocol) -> str:
    narrow = (
        f"map narrowed to {protocol.reduced} channels, stack of {2 * protocol.reduced}, " if protocol.reduced else ""
    )
    hidden = " and ".join(map(str, protocol.hidden))
    return f"{protocol.trunk} frozen at {protocol.size} px, {narrow}its mean into fc {hidden}, {protocol.bits} bits"


def _about(protocol: Protocol, command: str) -> str:
    rows = "\n".join(f"| **{arm.name}** | {arm.title} | {_pretraining(arm.pretraining)} |" for arm in ARMS.values())
    rates = ", ".join(map(str, protocol.rates))
    recipe = "" if protocol.recipe == "cpu" else f" --recipe {protocol.recipe}"
    return f"""Made by `{command}{recipe}`; a second run goes on from what is stored.
`--recipe voc --device cuda --masks` with the VOC kit is the campaign at the paper's sizes (VGG16, 224 px, all of
CIFAR-10; the trunk stays frozen); it was not run here. `--recipe generated` runs every step in a minute on painted
scenes.

## What is compared

| arm | network | before the hash phase |
| --- | --- | --- |
{rows}

All arms share the frozen trunk, the hash head, {protocol.bits} bits, the loss of [18] (cross-entropy of the class
layer), epochs, order of pictures by seed, and the tuning budget: the learning rates {rates}, each tried once (seed 0)
on part of the training split, judged by {PRIMARY.title} of another part of it. No test picture plays a part. What
counts for the verdict was fixed before the runs. Trunk maps are stored in float16; matrix products run in bfloat16.

D against B asks whether training on masks adds anything to the module's capacity, D against C whether it is the masks
or only the further pictures and their labels, D against E whether it matters *where* in the picture a class lies,
D against A is the paper's own comparison, which mixes all of these.

The head sees the mean of the pyramid's stack (`gap`). A pyramid straight on a frozen map would hide most of what masks
teach from that mean: half of the stack would be the map itself, equal in all arms. So the map first goes through a
1 × 1 convolution with normalisation and ReLU that all of B to E have; trained on masks it learns to tell classes apart
cell by cell, and its mean keeps how much of each there is. The 3 × 3 fusion and the classifier, which the mean does
not pass through, are left behind after pretraining. In the hash phase everything but the trunk is trained.

Before it, C, D and E are trained for {protocol.pretraining.epochs} epochs at rate {protocol.pretraining_rate} (not
tuned) from the first weights that B keeps. C learns which classes cover at least {protocol.least_area:.1%} of the
crop (binary cross-entropy of the mean scores), D each cell's classes, E the same after the pixels of
every mask were permuted."""


def _pretraining(kind: str) -> str:
    return {
        "none": "–",
        "tags": "classes of the mask pictures",
        "masks": "masks",
        "shuffled": "masks, shuffled in space inside each picture",
    }[kind]


def _data(questions: Mapping[str, Any], protocol: Protocol, seeds: Sequence[int]) -> str:
    lines = [
        "| questions | queries | gallery | concepts | pairs | counts for the verdict |",
        "| --- |" + " ---: |" * 4 + " --- |",
    ]
    for name, asked in questions.items():
        concepts = len({concept for _, concept in asked["pairs"]})
        sizes = f"{asked['queries']:,} | {asked['gallery']:,} | {concepts} | {len(asked['pairs']):,}"
        lines.append(f"| {name} | {sizes} | {'yes' if asked['decides'] else 'no'} |")
    return f"""## Data and questions

{chr(10).join(lines)}

- scenes: pictures of places, one class each; every picture is asked against all others.
- masks: the test split of the pictures with masks is asked against test and validation split, itself excluded. Its
  concepts are the classes that cover at least {protocol.least_area:.1%} of the *cropped* mask. The pictures are frames
  of a few drives a second apart, so neighbours look alike, and some classes are in nearly every picture: chance is
  high, and no code can gain there.
- films: key-frames every {protocol.frame_step_s:g} s of films with shots.csv, asked against the frames of all *other
  clips*, so that no frame finds its own shot; few clips share a concept, so these scores are coarse.
- CIFAR-10: test pictures against the {protocol.cifar_train:,} training pictures; its classes are what the first track
  learns, so it shows that the arms work and does not count for the verdict.
- C, D and E were pretrained on all training pictures with masks; so were those held out for tuning the track that
  learns these pictures' labels. Every arm kept the highest rate that was tried.
- The masks are road scenes and few. Frames of one drive or clip are not independent, which the intervals below do not
  know. A pair is a query and a concept that it contains and that something else in the
  gallery contains too. Scores are expectations over the order of equal distances; means are over queries, then
  concepts. Intervals: 95 %, paired hierarchical bootstrap over concepts, queries and seeds
  ({", ".join(map(str, seeds))}). With few concepts they are somewhat too narrow."""


def _primary_table(board: Scoreboard, verdict: Verdict) -> str:
    lines = [
        f"All {len(board.concepts(board.deciding))} concepts of {', '.join(board.deciding)} together.",
        "",
        f"| difference | {PRIMARY.title} | p | p, Holm | better in | {SECONDARY.title} |",
        "| --- |" + " ---: |" * 5,
    ]
    for baseline in BASELINES:
        first = verdict.differences.get(baseline) or board.difference(PROPOSED, baseline, PRIMARY, board.deciding)
        second = board.difference(PROPOSED, baseline, SECONDARY, board.deciding)
        holm = f"{verdict.p_holm[baseline]:.3f}" if baseline in verdict.p_holm else "–"
        lines.append(
            f"| {PROPOSED} − {baseline} | {_signed(first)} | {first.p:.3f} | {holm} | {first.better} of "
            f"{first.concepts} | {_signed(second)} |"
        )
    return "\n".join(lines)


def _difference_table(board: Scoreboard) -> str:
    lines = [f"Differences in {PRIMARY.title}:", "", "| questions | " + " | ".join(_names()) + " |"]
    lines.append("| --- |" + " ---: |" * len(BASELINES))
    for name in board.questions:
        cells = [_signed(board.difference(PROPOSED, baseline, PRIMARY, [name])) for baseline in BASELINES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _score_tables(board: Scoreboard, protocol: Protocol) -> str:
    metrics = measured(protocol)
    lines = [
        "Scores of the arms; the first with its interval, chance is what a random ranking gets:",
        "",
        "| questions | arm | " + " | ".join(metric.title for metric in metrics) + " |",
        "| --- | --- |" + " ---: |" * len(metrics),
    ]
    for name in board.questions:
        for arm in board.arms:
            interval = board.interval(arm, PRIMARY, [name])
            cells = [_cell(board.mean(arm, m, [name]), interval if m == PRIMARY else None) for m in metrics]
            lines.append(f"| {name} | {arm} | " + " | ".join(cells) + " |")
        cells = [_cell(board.chance(m, [name]), None) for m in metrics]
        lines.append(f"| {name} | *chance* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _slices(board: Scoreboard) -> str:
    lines = [
        f"Differences in {PRIMARY.title} where the query's concept covers so much of it, or has so many separate "
        f"regions; concepts with fewer than {LEAST_PAIRS} such queries are left out.",
        "",
        "| questions | slice | concepts | chance | " + " | ".join(_names()) + " |",
        "| --- | --- |" + " ---: |" * (len(BASELINES) + 2),
    ]
    for name, asked in board.questions.items():
        for title, choose in _choosers() if asked["areas"] else []:
            if not board.values(PROPOSED, PRIMARY, [name], choose, LEAST_PAIRS):
                continue
            found = [board.difference(PROPOSED, b, PRIMARY, [name], choose, LEAST_PAIRS) for b in BASELINES]
            chance = board.chance(PRIMARY, [name], choose, LEAST_PAIRS)
            cells = " | ".join(map(_signed, found))
            lines.append(f"| {name} | {title} | {found[0].concepts} | {chance:.3f} | {cells} |")
    return "\n".join(lines)


def _choosers() -> list[tuple[str, Chooser]]:
    named: list[tuple[str, Chooser]] = []
    for low, high in AREAS:
        title = f"area {low:.1%} to {high:.0%}" if high <= 1 else f"area from {low:.0%}"
        named.append((title, _between("areas", low, high)))
    for few, many in COUNTS:
        title = (
            f"{few} region" if many == few + 1 else f"{few} to {many - 1} regions" if many < 100 else f"{few} or more"
        )
        named.append((title, _between("counts", few, many)))
    return named


def _between(key: str, low: float, high: float) -> Chooser:
    def choose(asked: Mapping[str, Any]) -> NDArray[np.bool_]:
        values = np.array(asked[key])
        return np.asarray((values >= low) & (values < high))

    return choose


def _tuning_table(campaign: Campaign, tracks: Sequence[str]) -> str:
    lines = ["| track | arm | kept rate | held-out score at each rate |", "| --- | --- | ---: | --- |"]
    for track in tracks:
        for arm in ARMS:
            tuned = campaign.tuned(track, arm)
            trials = "; ".join(f"{trial['rate']}: {trial['score']:.3f}" for trial in tuned["trials"])
            lines.append(f"| {track} | {arm} | {tuned['rate']} | {trials} |")
    protocol = campaign.protocol
    about = (
        f"Trials take {protocol.tuning_epochs_share:.0%} of the epochs on at most {protocol.tuning_pictures:,} "
        "pictures; "
        "where the highest rate won, a higher one was not tried. Full trainings: "
        f"{protocol.cifar.epochs} epochs on CIFAR-10 (batch {protocol.cifar.batch}), {protocol.labels.epochs} on the "
        f"labels (batch {protocol.labels.batch}), weight decay {protocol.weight_decay:g}."
    )
    return f"{about}\n\n" + "\n".join(lines)


def _pretraining_table(campaign: Campaign, seeds: Sequence[int]) -> str:
    lines = ["| arm | accuracy a cell | mean AP of tags |", "| --- | ---: | ---: |"]
    for arm in ARMS.values():
        if arm.pretraining != "none":
            figures = [campaign.pretraining_figures(arm.name, seed) for seed in seeds]
            cells = [f"{mean(f[key] for f in figures):.3f}" for key in ("cell_accuracy", "tag_precision")]
            lines.append(f"| {arm.name} | " + " | ".join(cells) + " |")
    return (
        "What pretraining learned, on the mask pictures that are asked (it was not selected by them): the share of "
        "cells whose highest score is the class that covers most of it, and the mean average precision of ranking "
        "pictures by a class's mean score.\n\n" + "\n".join(lines)
    )


def _names() -> list[str]:
    return [f"{PROPOSED} − {baseline}" for baseline in BASELINES]


def _signed(difference: Difference) -> str:
    found: Interval = difference.interval
    return f"{found.estimate:+.3f} [{found.lower:+.3f}, {found.upper:+.3f}]".replace("-", "−")


def _cell(value: float, interval: Interval | None) -> str:
    return f"{value:.3f}" + (f" [{interval.lower:.3f}, {interval.upper:.3f}]" if interval else "")

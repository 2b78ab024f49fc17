"""The page of results: one table at 48 bits, one over code lengths, a plot, and the settings behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.methods.catalogue import METHODS, Method
from benchmarks.methods.protocol import GATES, MAIN_LENGTH, Protocol
from benchmarks.methods.runner import TUNING_METRIC, Result
from search.evaluation.charts import Series, line_chart

__all__ = ["write_docs"]

PRIMARY = TUNING_METRIC.key
COLUMNS = {
    "map@1000:minKR": "MAP@1000 / min(K, R)",
    "map@1000:hits": "MAP@1000 / hits",
    "map@50:minKR": "MAP@50",
    "map@10:minKR": "MAP@10",
    "precision@1000": "P@1000",
    "precision@50": "P@50",
    "precision@10": "P@10",
    "map@r": "MAP@R",
}

MASKS = """
- The two rows of Gkountakos et al. see what a pyramid pooling module makes of the same frozen trunk's maps (output
  stride 8), after {protocol.mask_epochs} epochs on CamVid's masks. Road scenes have little to do with CIFAR-10, and
  367 pictures are few: this is no verdict on masks, which takes a comparison of its own."""

PLOT_STYLE = (
    "<style>svg{background:#fff}text{font:12px system-ui,sans-serif;fill:#1c1f23}.tick{font-size:11px;fill:#5b6470}"
    ".grid{stroke:#d9dde2;fill:none}.line{fill:none;stroke-width:2}.line0{stroke:#1f5fbf}"
    ".line1{stroke:#c2571a;stroke-dasharray:7 4}.line2{stroke:#5b6470;stroke-dasharray:2 3}"
    ".line3{stroke:#7a3fa0;stroke-dasharray:10 3 2 3}.line4{stroke:#1a7f4b}.line5{stroke:#b3372f;stroke-dasharray:4 2}"
    "</style>"
)


def write_docs(
    folder: Path,
    results: Sequence[Result],
    tuned: Mapping[str, Mapping[str, Any]],
    protocol: Protocol,
    command: str,
) -> None:
    """Write methods.md and methods.svg into ``folder``.

    Args:
        folder: where to.
        results: of :class:`benchmarks.methods.runner.Runner`.
        tuned: method name → its trials and the options that were kept.
        protocol: of all results.
        command: that made them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        "# Hashing methods under one protocol",
        _about(protocol, command, has_masks=any(_method(r).features != "pooled" for r in results)),
        "## 48 bits",
        _main_table([r for r in results if r["bits"] == MAIN_LENGTH]),
        _reading(results),
    ]
    lengths = [r for r in results if len(_method(r).lengths) > 1]
    if {r["bits"] for r in lengths} - {MAIN_LENGTH}:
        (folder / "methods.svg").write_text(_plot(lengths), encoding="utf-8")
        parts += ["## Code length", _length_table(lengths), "![MAP against bits](methods.svg)"]
    parts += ["## Settings", _settings_table(tuned)]
    (folder / "methods.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _about(protocol: Protocol, command: str, *, has_masks: bool) -> str:
    about_masks = MASKS.format(protocol=protocol) if has_masks else ""
    return f"""Made by `{command}`; a second run of the command goes on from what is stored.

- Data: CIFAR-10 (JPEG quality 75, so not to the digit what others have). Gallery: {protocol.gallery:,} training
  pictures, which are also what methods learn from. Queries: {protocol.queries:,} test pictures. Relevant is what has
  the query's class.
- Trunk: {protocol.trunk} with ImageNet weights, frozen, pictures scaled up to {protocol.size} pixels. Methods see
  its pooled features; trained heads see them standardised, through one layer of {protocol.hidden}. Nothing is trained
  from the pixels up, so no figure here can be set beside one in print.{about_masks}
- Tuning: at most {protocol.trials} settings a method, each tried at {MAIN_LENGTH} bits on {protocol.tuning_pictures:,}
  training pictures ({protocol.tuning_epochs} epochs), judged by MAP@1000 / min(K, R) of {protocol.held_out:,} further
  training pictures. The test split plays no part in it. Then {protocol.epochs} epochs on the whole gallery; other code
  lengths take over the settings.
- Scores: the expectation over random order of equal distances, macro mean over the ten classes. "/ hits" divides by
  the relevant items found, as the public code of Lin et al. does; the primary score divides by min(K, R).
  MAP@50 and MAP@10 are over min(K, R). Intervals: 95 %, bootstrap over classes and queries, of the first seed."""


def _main_table(results: Sequence[Result]) -> str:
    lines = [
        "| Method | learns from | " + " | ".join(COLUMNS.values()) + " | interval of the first | fit, s |",
        "| --- | --- |" + " ---: |" * (len(COLUMNS) + 2),
    ]
    by_method = _by_method(results)
    for name in sorted(by_method, key=lambda name: -_mean(by_method[name], PRIMARY)):
        runs = by_method[name]
        method, first = _method(runs[0]), runs[0]["scores"][PRIMARY]
        cells = [f"{_mean(runs, key):.3f}" for key in COLUMNS]
        interval = f"{first['lower']:.3f} to {first['upper']:.3f}"
        seconds = f"{mean(run['seconds'] for run in runs):.0f}"
        lines.append(f"| {method.title} | {method.learns_from} | " + " | ".join([*cells, interval, seconds]) + " |")
    scores = results[0]["scores"]
    chance = [f"{scores[key]['chance']:.3f}" for key in COLUMNS]
    return "\n".join([*lines, "| *a random ranking* | – | " + " | ".join([*chance, "–", "–"]) + " |"])


def _reading(results: Sequence[Result]) -> str:
    main = _by_method([r for r in results if r["bits"] == MAIN_LENGTH])
    gates = [
        f"{_method(main[name][0]).title} {_mean(main[name], 'map@1000:hits'):.3f} (gate {gate:g}: "
        f"{'met' if _mean(main[name], 'map@1000:hits') >= gate else 'missed'})"
        for name, gate in GATES.items()
        if name in main
    ]
    spans = [
        (runs[0]["scores"][PRIMARY]["best"] - runs[0]["scores"][PRIMARY]["worst"], _method(runs[0]).title)
        for runs in main.values()
    ]
    widest, title = max(spans)
    seeds = sorted({r["seed"] for r in results})
    return (
        f"Seeds: {', '.join(map(str, seeds))}"
        + (" (scores are their means)" if len(seeds) > 1 else "; how much another would change was not measured")
        + f". MAP@1000 / hits against the gates of this protocol: {'; '.join(gates)}. The order of ties alone could "
        f"move a score by up to {widest:.3f} ({title}); figures of other tables that leave it to chance are not "
        "comparable to the third digit."
    )


def _length_table(results: Sequence[Result]) -> str:
    lengths = sorted({r["bits"] for r in results})
    lines = [
        "MAP@1000 / min(K, R), and in brackets / hits.",
        "",
        "| Method | " + " | ".join(f"{bits} bits" for bits in lengths) + " |",
        "| --- |" + " ---: |" * len(lengths),
    ]
    for runs in _by_method(results).values():
        cells = []
        for bits in lengths:
            there = [run for run in runs if run["bits"] == bits]
            cells.append(f"{_mean(there, PRIMARY):.3f} ({_mean(there, 'map@1000:hits'):.3f})" if there else "–")
        lines.append(f"| {_method(runs[0]).title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _plot(results: Sequence[Result]) -> str:
    series = []
    for runs in _by_method(results).values():
        lengths = sorted({run["bits"] for run in runs})
        values = [_mean([run for run in runs if run["bits"] == bits], PRIMARY) for bits in lengths]
        series.append(Series(_method(runs[0]).title, np.array(lengths, dtype=np.float64), np.array(values)))
    chart = line_chart("MAP@1000 / min(K, R) against bits", "bits", "MAP@1000 / min(K, R)", series)
    start = chart.index(">") + 1
    return chart[: start - 1] + ' xmlns="http://www.w3.org/2000/svg">' + PLOT_STYLE + chart[start:]


def _settings_table(tuned: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| Method | kept | score of each trial |", "| --- | --- | --- |"]
    for name, record in tuned.items():
        title = next(m.title for m in METHODS if m.name == name)
        trials = "; ".join(f"{_options(trial['options'])}: {trial['score']:.3f}" for trial in record["trials"])
        lines.append(f"| {title} | {_options(record['options'])} | {trials} |")
    return "\n".join(lines)


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def _by_method(results: Sequence[Result]) -> dict[str, list[Result]]:
    names = [m.name for m in METHODS if any(r["method"] == m.name for r in results)]
    return {name: [r for r in results if r["method"] == name] for name in names}


def _method(result: Result) -> Method:
    return next(m for m in METHODS if m.name == result["method"])


def _mean(runs: Sequence[Result], key: str) -> float:
    return mean(run["scores"][key]["macro"] for run in runs)

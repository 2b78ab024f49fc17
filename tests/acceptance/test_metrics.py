"""Every metric of the dashboard, the alerts and the scaling rule is found in a scrape of a running stack."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from encoder.clips import generate_clip
from hashreel import Client

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture
def scraped(client: Client, stack_url: str, worker_metrics_url: str, tmp_path: Path) -> dict[str, set[str]]:
    """Return the names of all samples, with the names of their labels, after some work of every kind."""
    clip, broken = tmp_path / "clip.mp4", tmp_path / "broken.mp4"
    generate_clip(clip, seed=91, seconds=2.0, size=(96, 64), fps=8, shots=1)
    broken.write_text("this is no video\n" * 100)
    client.enqueue([clip, broken]).wait(timeout_s=120)
    client.search("code:000000000000", top=1)
    client.search(picture(clip), top=1)
    found: dict[str, set[str]] = {"up": {"job", "instance"}}
    for url in (stack_url, worker_metrics_url):
        reply = httpx.get(f"{url}/metrics", trust_env=False)
        assert reply.status_code == 200
        for family in text_string_to_metric_families(reply.text):
            for sample in family.samples:
                # Prometheus itself adds the last two.
                found.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    return found


def picture(clip: Path) -> bytes:
    from encoder.pictures import encode_jpeg
    from encoder.video import grab_frame

    return encode_jpeg(grab_frame(clip, 500).image)


def expressions() -> Iterator[str]:
    for panel in json.loads((DEPLOY / "grafana" / "hashreel.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m")
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["action"]
            yield rule["expr"]
    yield from scaling_queries()


def scaling_queries() -> list[str]:
    scaling = yaml.safe_load((DEPLOY / "kubernetes" / "base" / "scaling.yaml").read_text())
    return [trigger["metadata"]["query"] for trigger in scaling["spec"]["triggers"]]


def test_what_starts_the_first_worker_is_told_by_searchers(stack_url: str) -> None:
    told = httpx.get(f"{stack_url}/metrics", trust_env=False).text
    names = {name for query in scaling_queries() for name in re.findall(r"hashreel_\w+", query)}
    # Everything that workers do: units of all lanes and models, evaluations, webhooks.
    assert names == {"hashreel_units", "hashreel_evaluations_open", "hashreel_webhooks_waiting"}
    assert names <= {sample.name for family in text_string_to_metric_families(told) for sample in family.samples}


def test_every_metric_that_is_looked_at_is_there(scraped: dict[str, set[str]]) -> None:
    promql = pytest.importorskip("promql_parser", reason="promql-parser is in [dev]")
    seen = set()

    def selectors(node: object) -> Iterator[tuple[str, set[str]]]:
        if isinstance(node, promql.VectorSelector):
            yield node.name, {matcher.name for matcher in node.matchers.matchers}
        if isinstance(node, promql.MatrixSelector):
            yield from selectors(node.vector_selector)
        for name in ("expr", "lhs", "rhs"):
            if (child := getattr(node, name, None)) is not None:
                yield from selectors(child)
        for child in getattr(node, "args", None) or ():
            yield from selectors(child)

    for expression in expressions():
        found = list(selectors(promql.parse(expression)))
        assert found, expression
        for name, labels in found:
            assert name in scraped, f"{name} of {expression}"
            assert labels <= scraped[name], f"{labels} of {expression}"
            seen.add(name)
    assert len(seen) >= 20


def test_metrics_count_what_was_done(scraped: dict[str, set[str]], worker_metrics_url: str) -> None:
    text = httpx.get(f"{worker_metrics_url}/metrics", trust_env=False).text
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["hashreel_key_frames_total", ()] >= 2
    assert values["hashreel_unit_failures_total", (("stage", "decode"),)] >= 1
    assert values["hashreel_worker_processes", ()] == 1
    assert values["hashreel_chunk_seconds_count", (("stage", "encode"),)] == values["hashreel_chunks_total", ()]
    assert values["hashreel_worker_units_queued", ()] == 0

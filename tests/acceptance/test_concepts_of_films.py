"""The shipped model that segments, on real films, through Celery: hits say what was seen and how much of the frame."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from encoder.video import grab_frame
from hashreel import Client
from hashreel.processes import python_command

MODEL = "psp48-lite0"


def test_hits_of_films_carry_concepts_with_their_area(
    client: Client, stack_url: str, stack_folder: Path, shared: Path
) -> None:
    films = sorted((shared / "videos" / "compiled").glob("*.mp4"))
    client.create_collection("real-seen", MODEL)
    command = python_command("worker", "--gpus", "none", "--data", str(stack_folder), "--model", MODEL)
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        counts = client.enqueue(films, every_s=2.0, collection="real-seen").wait(timeout_s=280).counts
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    assert counts.indexed == len(films) == 5
    some = client.search("code:000000000000", top=1, collection="real-seen")[0]
    frame = grab_frame(some.source, some.time_ms).image
    hits = client.search(frame, top=50, collection="real-seen")
    assert hits[0].distance <= 4  # the picture is sent as JPEG, which tips bits that lie on the edge
    seen = [concept for hit in hits for concept in hit.concepts]
    assert {concept.name for concept in seen} >= {"automobile"}
    assert all(0 < concept.area <= 1 for concept in seen)

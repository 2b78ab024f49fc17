"""Watch-lists through a whole stack: pictures are watched for, hits are listed and sent, on the command line, too."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from command_line import run_cli

from encoder.clips import generate_clip
from encoder.pictures import encode_jpeg
from encoder.video import grab_frame
from hashreel import Client
from hashreel.webhooks import verify

HOME = "watched"


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    came: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((dict(self.headers.items()), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hits", came
    finally:
        server.shutdown()
        server.server_close()


def test_a_picture_is_watched_for(client: Client, stack_url: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    for path, seed in ((first, 71), (second, 72)):
        generate_clip(path, seed=seed, seconds=4.0, size=(160, 90), fps=8)
    for number, clip in enumerate((first, second)):
        (tmp_path / f"{number}.jpg").write_bytes(encode_jpeg(grab_frame(clip, 1000).image, 95))
    client.create_collection(HOME)
    (stored,) = client.enqueue(first, every_s=0.5, collection=HOME).wait(timeout_s=120).videos
    target = ["--collection", HOME, "--json", "--url", stack_url]
    pictures = [str(tmp_path / "0.jpg"), str(tmp_path / "1.jpg")]
    with receiver() as (url, came):
        added = json.loads(
            run_cli("watch", "add", *pictures, "--radius", "6", "--name", "ü", "--webhook", url, *target)
        )
        assert added["hits"] > 0  # what was stored before
        assert added["searched"]
        (coming,) = client.enqueue(second, every_s=0.5, collection=HOME).wait(timeout_s=120).videos
        hits = list(client.watch_hits(added["id"]))
        assert {hit.video for hit in hits} == {stored, coming}
        # What a watch finds is what a search finds.
        for number, video in ((0, stored), (1, coming)):
            found = client.search(pictures[number], top=100, radius=6, videos=[video], collection=HOME)
            assert {hit.frame_id for hit in found} <= {hit.frame_id for hit in hits}
            assert found
        deadline = time.monotonic() + 120
        sent: set[str] = set()
        while sent != {hit.frame_id for hit in hits} and time.monotonic() < deadline:
            time.sleep(0.05)
            messages = [verify(added["secret"], headers, body, tolerance_s=1e6) for headers, body in list(came)]
            sent = {hit["frame_id"] for message in messages for hit in message["hits"]}
        assert sent == {hit.frame_id for hit in hits}
        assert json.loads(run_cli("watch", "test-webhook", added["id"], *target))["status"] == 204
    assert client.watch_picture(added["id"], 1).startswith(b"\xff\xd8")
    assert json.loads(run_cli("watch", "mark", added["id"], hits[0].frame_id, "--dismiss", *target)) == {"marked": 1}
    rows = list(csv.DictReader(io.StringIO(run_cli("watch", "hits", added["id"], "--csv", "--url", stack_url))))
    assert [row["frame_id"] for row in rows] == [hit.frame_id for hit in hits]
    assert rows[0]["state"] == "dismissed"
    changed = json.loads(run_cli("watch", "change", added["id"], "--webhook", "", "--note", "n", *target))
    assert (changed["webhook"], changed["note"], changed["new"]) == ("", "n", len(hits) - 1)
    (listed,) = json.loads(run_cli("watch", "list", *target))["watches"]
    assert listed == changed
    assert json.loads(run_cli("watch", "deliveries", added["id"], *target))["deliveries"][0]["state"] == "delivered"
    client.delete_video(coming)
    assert {hit.video for hit in client.watch_hits(added["id"])} == {stored}
    everything = client.suppress(tmp_path / "0.jpg", radius=48, collection=HOME)
    assert list(client.watch_hits(added["id"])) == []
    before = client.show_watch(added["id"]).hits
    (late,) = client.enqueue(second, every_s=0.5, collection=HOME).wait(timeout_s=120).videos
    assert client.show_watch(added["id"]).hits == before
    client.unsuppress(everything.id, collection=HOME)
    assert {hit.video for hit in client.watch_hits(added["id"])} == {stored, late}
    assert json.loads(run_cli("watch", "remove", added["id"], *target))["id"] == added["id"]
    run_cli("watch", "hits", added["id"], *target, code=1)

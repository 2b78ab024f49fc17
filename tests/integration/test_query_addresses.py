"""Query pictures that are named by a URL: found like the picture itself, and only where the service may read."""

from __future__ import annotations

import base64
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import WAIT_S
from stored_gallery import fill_video

from encoder.model import Model
from encoder.pictures import encode_png
from hashreel.errors import BadInputError, DecodeError, ForbiddenError, TooLargeError
from hashreel.schemas import Query, SearchRequest, SuppressionRequest
from hashreel.settings import Settings
from indexer.chunks import Chunk
from indexer.store import Store
from search.engine import SearchEngine
from search.evidence import write_evidence
from search.galleries import facts_of

RNG = np.random.default_rng(6)
PICTURE = np.kron(RNG.integers(0, 256, (9, 16, 3)), np.ones((20, 20, 1))).astype(np.uint8)
FILES = {"/picture.png": encode_png(PICTURE), "/text": b"no picture", "/large": bytes(2000)}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = FILES.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def pictures_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def open_engine(store: Store, model: Model, tmp_path: Path) -> Iterator[Callable[..., SearchEngine]]:
    generation = store.ensure_collection("main", model="default", **facts_of(model))
    codes = np.concatenate([model.encode([PICTURE]), model.encode([PICTURE[:, ::-1]])])
    fill_video(store, generation, [Chunk(np.array([0, 1000], np.uint32), codes, None, model.bits, model.fingerprint)])
    engines: list[SearchEngine] = []

    def make(**settings: object) -> SearchEngine:
        values = {"data": tmp_path, "index": "flat", "consistency_wait_ms": int(1000 * WAIT_S)} | settings
        engines.append(SearchEngine(store, Settings(**values), lambda _: model))  # type: ignore[arg-type]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def test_a_url_finds_what_its_picture_finds(
    open_engine: Callable[..., SearchEngine], pictures_url: str, tmp_path: Path
) -> None:
    engine = open_engine(picture_hosts=["127.0.0.1"])
    url = f"{pictures_url}/picture.png"
    image = base64.b64encode(FILES["/picture.png"]).decode()
    for box in (None, (0.0, 0.0, 0.5, 1.0)):
        by_url, by_picture = (
            engine.search(SearchRequest(query=Query(box=box, **{name: value}), top=5))
            for name, value in (("url", url), ("image", image))
        )
        assert (by_url.code, by_url.hits) == (by_picture.code, by_picture.hits)
    assert engine.search(SearchRequest(query=Query(url=url))).hits[0].distance == 0
    write_evidence(engine, SearchRequest(query=Query(url=url), top=1), tmp_path / "evidence.zip")
    with zipfile.ZipFile(tmp_path / "evidence.zip") as archive:
        assert archive.read("query.png") == FILES["/picture.png"]
        assert json.loads(archive.read("manifest.json"))["query"]["url"] == url
    assert engine.suppress(SuppressionRequest(query=Query(url=url), radius=6)).frames >= 1


def test_urls_are_not_read_unless_their_host_is_allowed(
    open_engine: Callable[..., SearchEngine], pictures_url: str
) -> None:
    request = SearchRequest(query=Query(url=f"{pictures_url}/picture.png"))
    for hosts in ([], ["*"], ["pictures.example"]):
        with pytest.raises(ForbiddenError, match="HASHREEL_PICTURE_HOSTS"):
            open_engine(picture_hosts=hosts).search(request)


def test_what_is_no_picture_says_so(open_engine: Callable[..., SearchEngine], pictures_url: str) -> None:
    engine = open_engine(picture_hosts=["127.0.0.0/8"], max_body_bytes=1024)
    for path, error, said in (
        ("text", DecodeError, "not a picture"),
        ("nothing", BadInputError, "status 404"),
        ("large", TooLargeError, "HASHREEL_MAX_BODY_BYTES"),
    ):
        with pytest.raises(error, match=said) as caught:
            engine.search(SearchRequest(query=Query(url=f"{pictures_url}/{path}")))
        assert caught.value.status in {413, 422}  # ours, whatever the other service said
    with pytest.raises(BadInputError, match="cannot be read"):
        engine.search(SearchRequest(query=Query(url="http://127.0.0.1:9/picture.png")))

"""Every limit is named by what goes beyond it."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from encoder.clips import generate_clip
from encoder.model import Model
from hashreel.errors import TooLargeError
from hashreel.schemas import ClipOptions, SearchRequest, SuppressionRequest
from hashreel.settings import Settings
from indexer.store import Store
from search.engine import SearchEngine

BODIES = {
    "/v1/search": "HASHREEL_MAX_BODY_BYTES",
    "/v1/search/batch": "HASHREEL_MAX_BODY_BYTES",
    "/v1/search/image": "HASHREEL_MAX_BODY_BYTES",
    "/v1/suppressions": "HASHREEL_MAX_BODY_BYTES",
    "/v1/evidence": "HASHREEL_MAX_BODY_BYTES",
    "/v1/uploads": "HASHREEL_MAX_UPLOAD_BYTES",
    "/v1/search/clip": "HASHREEL_MAX_CLIP_BYTES",
    "/v1/evidence/clip": "HASHREEL_MAX_CLIP_BYTES",
}


def test_a_body_beyond_its_limit_names_the_setting(service):
    for address, setting in BODIES.items():
        refused = service.http.post(address, content=b"x" * 4_000_000, headers={"Content-Type": "application/json"})
        assert refused.status_code == 413
        assert setting in refused.json()["detail"]


def test_a_batch_beyond_its_limit_names_the_setting(service):
    service.settings.__dict__["max_batch"] = 3
    batch = {"requests": [{"query": {"code": "00" * 6}}] * 4}
    refused = service.http.post("/v1/search/batch", json=batch)
    assert refused.status_code == 413
    assert "HASHREEL_MAX_BATCH" in refused.json()["detail"]
    assert service.http.post("/v1/search/batch", json={"requests": batch["requests"][:3]}).status_code == 200


def test_a_batch_of_many_urls_is_refused(service):
    queries = [{"query": {"url": "http://pictures.example/query.jpg"}}] * 17
    refused = service.http.post("/v1/search/batch", json={"requests": queries})
    assert refused.status_code == 413
    assert "16 queries" in refused.json()["detail"]
    answered = service.http.post("/v1/search/batch", json={"requests": queries[:16]}).json()["results"]
    assert {result["problem"]["status"] for result in answered} == {403}


def test_top_and_pictures_beyond_their_limits_name_the_setting(store: Store, model: Model, tmp_path: Path) -> None:
    engine = SearchEngine(store, Settings(data=tmp_path, max_top=5, max_picture_pixels=2000), lambda name: model)
    engine.open()
    buffer = io.BytesIO()
    Image.new("RGB", (50, 50)).save(buffer, "PNG")
    picture = {"image": base64.b64encode(buffer.getvalue()).decode()}
    try:
        with pytest.raises(TooLargeError, match="HASHREEL_MAX_TOP"):
            engine.search(SearchRequest.model_validate({"query": {"code": "00" * 6}, "top": 6}))
        with pytest.raises(TooLargeError, match="HASHREEL_MAX_PICTURE_PIXELS"):
            engine.search(SearchRequest.model_validate({"query": picture, "top": 5}))
        with pytest.raises(TooLargeError, match="HASHREEL_MAX_PICTURE_PIXELS"):
            engine.suppress(SuppressionRequest.model_validate({"query": picture}))
        clip = tmp_path / "clip.mp4"
        generate_clip(clip, seed=1, seconds=2.0, size=(64, 48), fps=4, shots=1)
        engine._settings.__dict__["max_clip_s"] = 1.0
        with pytest.raises(TooLargeError, match="HASHREEL_MAX_CLIP_S"):
            engine.search_clip(clip, ClipOptions())
    finally:
        engine.close()

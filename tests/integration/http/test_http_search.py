"""Searching over HTTP, compared with the reference behind it."""

from __future__ import annotations

import base64
import io

import pytest
from memory_service import code_of, distance, frame_id_of, picture_code
from PIL import Image


def jpeg(shade: int = 120) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), (shade, 10, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_code_finds_the_smallest_pairs_of_distance_and_id(service):
    code = code_of("archive/news.mp4#3")
    answer = service.http.post("/v1/search", json={"query": {"code": code.hex()}, "top": 4})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    found = [(hit["distance"], int(hit["frame_id"])) for hit in answer.json()["hits"]]
    expected = sorted((distance(code, frame.code), frame.id) for frame in service.engine.frames)[:4]
    assert found == expected
    assert found[0] == (0, frame_id_of(3, 3))


def test_frame_ids_are_strings_because_javascript_rounds(service):
    hit = service.http.post("/v1/search", json={"query": {"frame": str(frame_id_of(3, 3))}}).json()["hits"][0]
    assert hit["frame_id"] == str(frame_id_of(3, 3))
    assert hit["time_ms"] == 3000


def test_every_option_of_the_json_request_reaches_the_engine(service):
    wish = {
        "query": {"image": base64.b64encode(jpeg()).decode(), "box": [0.1, 0.2, 0.3, 0.4]},
        "collection": "main",
        "top": 3,
        "radius": 40,
        "videos": [1, 3],
        "tags": {"case": "17", "site": ["a", "b"]},
        "between": [1000, 6000],
        "group_by": "video",
        "exclude_video": 2,
        "concepts": ["road"],
        "min_area": 0.25,
        "more": None,
        "less": None,
        "include_suppressed": True,
        "exclude_self": False,
        "ties": "id",
        "min_position": "5-0",
        "consistency": "eventual",
    }
    assert service.http.post("/v1/search", json=wish).status_code == 200
    assert service.engine.requests[-1].model_dump(mode="json") == {
        **wish,
        "query": {**wish["query"], "url": None, "frame": None, "code": None},
    }


def test_a_form_says_the_same_as_json(service):
    picture = jpeg()
    form = {
        "top": "3",
        "radius": "40",
        "video": ["1", "3"],
        "tag": ["case=17", "reviewed=a=b", "case=18"],
        "ties": "asymmetric",
        "concept": ["road", "sky"],
        "between": "1000,6000",
        "group_by": "video",
        "box": "0.1,0.2,0.3,0.4",
        "exclude_video": "2",
        "consistency": "eventual",
        "collection": "",
    }
    sent = service.http.post("/v1/search/image", files={"image": ("q.jpg", picture, "image/jpeg")}, data=form)
    assert sent.status_code == 200, sent.text
    request = service.engine.requests[-1]
    assert request.query.image == base64.b64encode(picture).decode()
    assert request.query.box == (0.1, 0.2, 0.3, 0.4)
    assert request.model_dump(exclude={"query"}, exclude_none=True) == {
        "top": 3,
        "radius": 40,
        "videos": [1, 3],
        "tags": {"case": ["17", "18"], "reviewed": ["a=b"]},
        "between": (1000, 6000),
        "group_by": "video",
        "exclude_video": 2,
        "concepts": ["road", "sky"],
        "include_suppressed": False,
        "exclude_self": False,
        "ties": "asymmetric",
        "consistency": "eventual",
    }
    assert sent.json()["code"] == picture_code(picture).hex()


def test_options_may_stand_in_the_address_too(service):
    sent = service.http.post("/v1/search/image?top=2&tag=case%3D17", files={"image": jpeg()})
    assert len(sent.json()["hits"]) == 2
    assert service.engine.requests[-1].tags == {"case": ["17"]}


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"top": "many"}, "top"),
        ({"tpo": "5"}, "tpo"),
        ({"tag": "case"}, "key=value"),
        ({"box": "0,0,1"}, "4 numbers"),
        ({"box": "0,0,nan,1"}, "box"),
        ({"between": "9000,1000"}, "between"),
    ],
)
def test_a_form_option_that_cannot_be_read_is_named(service, form, words):
    refused = service.http.post("/v1/search/image", files={"image": jpeg()}, data=form)
    assert refused.status_code == 422
    assert words in refused.json()["detail"]


def test_an_option_given_twice_is_refused(service):
    refused = service.http.post("/v1/search/image?top=3", files={"image": jpeg()}, data={"top": "4"})
    assert refused.status_code == 422
    assert "top is given more than once" in refused.json()["detail"]


def test_a_form_without_a_picture_says_how_to_send_one(service):
    refused = service.http.post("/v1/search/image", data={"top": "4"})
    assert refused.status_code == 422
    assert "curl -F image=@query.jpg" in refused.json()["detail"]


def test_what_is_no_picture_is_refused_with_a_reason(service):
    refused = service.http.post("/v1/search/image", files={"image": b"not a picture"})
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:hashreel:decode"
    assert "JPEG" in refused.json()["detail"]


def test_a_batch_answers_each_query_on_its_own(service):
    wishes = [
        {"query": {"frame": str(frame_id_of(1, 2))}, "top": 1},
        {"query": {"frame": "999"}},
        {"query": {"code": code_of("archive/news.mp4#0").hex()}, "top": 2},
    ]
    results = service.http.post("/v1/search/batch", json={"requests": wishes}).json()["results"]
    assert results[0]["answer"]["hits"][0]["frame_id"] == str(frame_id_of(1, 2))
    assert results[1]["answer"] is None
    assert results[1]["problem"]["status"] == 404
    assert len(results[2]["answer"]["hits"]) == 2


def test_a_batch_is_bounded(service):
    refused = service.http.post("/v1/search/batch", json={"requests": [{"query": {"code": "00"}}] * 257})
    assert refused.status_code == 422
    assert "256" in refused.json()["detail"]


def test_queries_are_counted_and_timed_by_stage(service):
    service.http.post("/v1/search", json={"query": {"code": "00" * 6}})
    service.http.post("/v1/search/image", files={"image": jpeg()})
    text = service.http.get("/metrics").text
    assert 'hashreel_queries_total{kind="code"} 1.0' in text
    assert 'hashreel_queries_total{kind="image"} 1.0' in text
    counts = {"decode_query": 1, "encode": 1, "search": 2, "total": 2}
    for stage, count in counts.items():
        assert f'hashreel_query_seconds_count{{stage="{stage}"}} {count}.0' in text
    assert 'hashreel_query_seconds_sum{stage="encode"} 0.012' in text
    assert 'hashreel_http_requests_total{method="POST",route="/v1/search",status="200"} 1.0' in text
    assert "hashreel_frames 22.0" in text
    assert "hashreel_lag_entries 0.0" in text

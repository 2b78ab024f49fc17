"""Videos, their files and their frames over HTTP."""

from __future__ import annotations

import io

import pytest
from memory_service import frame_id_of
from PIL import Image

CLIP = bytes(range(256)) * 40


def test_pages_of_videos_join_without_gap_or_overlap(service):
    for index in range(5):
        service.engine.add_video(f"archive/{index}.mp4")
    seen, before = [], None
    while True:
        page = service.http.get("/v1/videos", params={"limit": 3} | ({"before": before} if before else {})).json()
        assert page["total"] == 8
        seen += [video["id"] for video in page["videos"]]
        before = page["next"]
        if before is None:
            break
    assert seen == [8, 7, 6, 5, 4, 3, 2, 1]


def test_tags_filter_together(service):
    page = service.http.get("/v1/videos", params=[("tag", "case=18"), ("tag", "reviewed=yes")]).json()
    assert [video["id"] for video in page["videos"]] == [2]
    assert service.http.get("/v1/videos?tag=case").status_code == 422
    assert service.http.get("/v1/videos?state=lost").status_code == 422


def test_tags_are_set_and_removed(service):
    changed = service.http.patch("/v1/videos/2/tags", json={"tags": {"reviewed": "", "by": "Ana"}})
    assert changed.json()["tags"] == {"case": "18", "by": "Ana"}


def test_a_deleted_video_is_gone(service):
    assert service.http.delete("/v1/videos/3").json()["source"] == "archive/news.mp4"
    missing = service.http.get("/v1/videos/3")
    assert missing.status_code == 404
    assert missing.json()["type"] == "urn:hashreel:not-found"


def test_a_number_beyond_all_ids_is_refused_and_does_no_harm(service):
    assert service.http.get("/v1/videos/99999999999").status_code == 422
    assert service.http.get(f"/v1/frames/{2**63}/thumbnail").status_code == 422


def test_the_whole_file_comes_with_its_type_and_tag(service):
    whole = service.http.get("/v1/videos/1/source")
    assert whole.status_code == 200
    assert whole.content == CLIP
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    again = service.http.get("/v1/videos/1/source", headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = service.http.head("/v1/videos/1/source")
    assert (head.headers["content-length"], head.content) == (str(len(CLIP)), b"")


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-299", 100, 300),
        ("bytes=10000-", 10000, 10240),
        ("bytes=10000-999999", 10000, 10240),
        ("bytes=-40", 10200, 10240),
        ("bytes=-999999", 0, 10240),
    ],
)
def test_a_range_gives_exactly_its_bytes(service, wanted, start, end):
    part = service.http.get("/v1/videos/1/source", headers={"Range": wanted})
    assert part.status_code == 206
    assert part.content == CLIP[start:end]
    assert part.headers["content-range"] == f"bytes {start}-{end - 1}/10240"
    assert part.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("wanted", ["bytes=10240-", "bytes=20000-30000", "bytes=-0"])
def test_a_range_outside_of_the_file_is_416(service, wanted):
    refused = service.http.get("/v1/videos/1/source", headers={"Range": wanted})
    assert refused.status_code == 416
    assert refused.headers["content-range"] == "bytes */10240"
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("wanted", ["bytes=9-3", "bytes=a-b", "lines=0-5", "bytes=0-1,4-5", "bytes=", "0-5"])
def test_what_is_no_single_range_gives_the_whole_file(service, wanted):
    whole = service.http.get("/v1/videos/1/source", headers={"Range": wanted})
    assert (whole.status_code, whole.content) == (200, CLIP)


def test_a_range_of_an_older_file_gives_the_whole_new_one(service):
    etag = service.http.get("/v1/videos/1/source").headers["etag"]
    same = service.http.get("/v1/videos/1/source", headers={"Range": "bytes=0-9", "If-Range": etag})
    other = service.http.get("/v1/videos/1/source", headers={"Range": "bytes=0-9", "If-Range": '"old"'})
    outside = service.http.get("/v1/videos/1/source", headers={"Range": "bytes=20000-", "If-Range": '"old"'})
    assert (same.status_code, other.status_code, outside.status_code) == (206, 200, 200)


@pytest.mark.parametrize("suffix", [".html", ".svg", ".js", ""])
def test_no_source_is_served_as_a_page_or_script(service, tmp_path, suffix):
    trap = tmp_path / f"trap{suffix}"
    trap.write_text("<script>alert(1)</script>")
    number = service.engine.add_video(f"archive/{trap.name}", path=trap).id
    sent = service.http.get(f"/v1/videos/{number}/source")
    assert sent.headers["content-type"] == "application/octet-stream"
    assert sent.headers["x-content-type-options"] == "nosniff"


def test_a_source_that_went_away_is_404(service, tmp_path):
    (tmp_path / "bikes.mp4").unlink()
    gone = service.http.get("/v1/videos/1/source")
    assert gone.status_code == 404
    assert "gone" in gone.json()["detail"]


def test_a_thumbnail_is_a_jpeg_that_is_kept(service):
    address = f"/v1/frames/{frame_id_of(1, 4)}/thumbnail"
    sent = service.http.get(address, params={"width": 160})
    assert sent.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(sent.content)).width == 160
    assert "immutable" in sent.headers["cache-control"]
    again = service.http.get(address, params={"width": 160}, headers={"If-None-Match": sent.headers["etag"]})
    assert again.status_code == 304
    wider = service.http.get(address, params={"width": 320}, headers={"If-None-Match": sent.headers["etag"]})
    assert wider.status_code == 200


def test_an_unknown_frame_has_no_thumbnail(service):
    missing = service.http.get("/v1/frames/12345/thumbnail")
    assert missing.status_code == 404
    assert missing.headers["cache-control"] == "no-store"
    assert service.http.get("/v1/frames/12345/thumbnail?width=100000").status_code == 422

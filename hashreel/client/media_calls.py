"""What is sent for pictures, files and packages: plain values, no I/O."""

from __future__ import annotations

from pathlib import Path

import httpx

from hashreel.client.calls import UPKEEP_S, Call, path_part, reader
from hashreel.client.clip_calls import ClipKeywords, search_clip
from hashreel.client.evidence_calls import EVIDENCE_S
from hashreel.schemas import Collection

__all__ = ["clip_evidence", "clip_headers", "collection", "mask", "source"]


def collection(name: str) -> Call[Collection]:
    """Return the call for one collection."""
    return Call("GET", f"/v1/collections/{path_part(name)}", reader(Collection), repeatable=True)


def mask(frame_id: str | int) -> Call[bytes]:
    """Return the call for what the model sees in a frame."""
    return Call("GET", f"/v1/frames/{path_part(str(frame_id))}/mask", _content, repeatable=True)


def source(video_id: int) -> Call[None]:
    """Return the call for a video's file, whose body is written as it comes."""
    return Call("GET", f"/v1/videos/{int(video_id)}/source", lambda response: None, timeout_s=UPKEEP_S)


def clip_evidence(path: Path, top: int, options: ClipKeywords) -> Call[bytes]:
    """Return the call that looks for a clip and packs what matches, without the body."""
    asked = search_clip(path, top, options)
    return Call("POST", "/v1/evidence/clip", _content, asked.params, timeout_s=EVIDENCE_S)


def clip_headers(path: Path) -> dict[str, str]:
    """Return the headers of a clip that is sent as a body."""
    return {"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"}


def _content(response: httpx.Response) -> bytes:
    return response.content

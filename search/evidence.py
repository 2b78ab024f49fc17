"""An answer as a package that stands by itself: frames, their sources' checksums, and how they were found.

A ZIP of ``manifest.json``, ``frames/*.png`` (whole frames as decoded, at their exact times), ``query.*`` where the
query was a picture or a clip, and ``SHA256SUMS`` over all of them, which ``sha256sum -c SHA256SUMS`` checks.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import hashreel
from hashreel.errors import HashreelError, TooLargeError
from hashreel.schemas import Answer, ClipAnswer, ClipOptions, ClipStretch, HitModel, SearchRequest, VideoModel
from search.ports import EnginePort

__all__ = ["FORMAT", "MAX_FRAMES", "write_clip_evidence", "write_evidence"]

FORMAT = 1
MAX_FRAMES = 200
KINDS = {b"\xff\xd8": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}
CLIP_KINDS = {b"\x1a\x45\xdf\xa3": "mkv", b"RIFF": "avi", b"\x00\x00\x01\xba": "mpg", b"G": "ts", b"FLV": "flv"}


def write_evidence(engine: EnginePort, request: SearchRequest, target: Path, request_id: str = "") -> Answer:
    """Search, and write what was found into a ZIP.

    A source that has gone or was changed costs its frame and is said to be so; the rest of the package stays whole.

    Args:
        engine: Answers the query.
        request: The query, with at most 200 hits.
        target: The file to write.
        request_id: Id of the request in the audit log.

    Raises:
        TooLargeError: If more hits are asked for.
        HashreelError: As a search.
    """
    if request.top > MAX_FRAMES:
        raise TooLargeError(f"top is {request.top}; a package of evidence holds at most {MAX_FRAMES} frames")
    address = request.query.url
    request = request.model_copy(update={"query": engine.fetched(request.query)})
    answer = engine.search(request)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        _Package(engine, archive).fill(request, answer, request_id, address)
    return answer


def write_clip_evidence(
    engine: EnginePort, clip: Path, options: ClipOptions, target: Path, request_id: str = ""
) -> ClipAnswer:
    """Look for a clip, and write the stretches that match it, with a frame of each, into a ZIP.

    Args:
        engine: Answers the query.
        clip: A video file, which goes into the package, too.
        options: How it is looked for, with at most 200 stretches.
        target: The file to write.
        request_id: Id of the request in the audit log.

    Raises:
        TooLargeError: If more stretches are asked for.
        HashreelError: As a clip search.
    """
    if options.top > MAX_FRAMES:
        raise TooLargeError(f"top is {options.top}; a package of evidence holds at most {MAX_FRAMES} stretches")
    answer = engine.search_clip(clip, options)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        _Package(engine, archive).fill_clip(clip, options, answer, request_id)
    return answer


class _Package:
    """A ZIP that is being filled, and the checksums of what is in it."""

    def __init__(self, engine: EnginePort, archive: zipfile.ZipFile) -> None:
        self._engine = engine
        self._archive = archive
        self._sums: dict[str, str] = {}
        self._sources: dict[int, dict[str, Any]] = {}

    def fill(self, request: SearchRequest, answer: Answer, request_id: str, address: str | None = None) -> None:
        """Add an answer with its query; ``address`` is where its picture came from, if it was named by a URL."""
        query = self._query(request) | {"code": answer.code} | ({"url": address} if address else {})
        hits = [self._found(rank, hit) for rank, hit in enumerate(answer.hits, start=1)]
        self._finish(answer, request.collection, request_id, query, {"hits": hits})

    def fill_clip(self, clip: Path, options: ClipOptions, answer: ClipAnswer, request_id: str) -> None:
        """Add the answer to a clip query, and the clip."""
        name = f"query.{_clip_kind(clip)}"
        told = {"file": name, "sha256": self._add_file(name, clip), "duration_ms": answer.clip_ms}
        told |= {"frames": answer.clip_frames, "step_ms": answer.step_ms}
        request = options.model_dump(mode="json", exclude_none=True)
        found = [self._found(rank, stretch) for rank, stretch in enumerate(answer.stretches, start=1)]
        query = {"request": request, "clip": told}
        self._finish(answer, options.collection, request_id, query, {"stretches": found})

    def _finish(
        self,
        answer: Answer | ClipAnswer,
        name: str | None,
        request_id: str,
        query: dict[str, Any],
        found: dict[str, list[dict[str, Any]]],
    ) -> None:
        """Add the manifest and, last, the checksums."""
        collection = self._engine.collection(name) if name else None
        manifest = {
            "format": FORMAT,
            "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "software": f"hashreel {hashreel.__version__}",
            "request_id": request_id,
            "query": query,
            "model": {
                "name": collection.model if collection else self._engine.health().model,
                "fingerprint": answer.fingerprint,
                "bits": answer.bits,
            },
            "index": {
                "generation": answer.position.generation,
                "log_id": answer.position.log_id,
                "frames": answer.gallery,
                "behind": answer.behind,
                "stale": answer.stale,
            },
            "sources": [self._sources[video] for video in sorted(self._sources)],
            **found,
        }
        self._add("manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False).encode())
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self._sums.items()))
        self._archive.writestr("SHA256SUMS", lines)

    def _add_file(self, name: str, path: Path) -> str:
        self._archive.write(path, name)
        with path.open("rb") as file:
            self._sums[name] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._sums[name]

    def _add(self, name: str, data: bytes) -> str:
        self._archive.writestr(name, data)
        self._sums[name] = hashlib.sha256(data).hexdigest()
        return self._sums[name]

    def _query(self, request: SearchRequest) -> dict[str, Any]:
        told = request.model_dump(mode="json", exclude_none=True)
        if request.query.image is not None:
            picture = base64.b64decode(request.query.image)
            kind = next((kind for start, kind in KINDS.items() if picture.startswith(start)), "bin")
            name = f"query.{kind}"
            told["query"]["image"] = {"file": name, "sha256": self._add(name, picture)}
        return {"request": told}

    def _found(self, rank: int, hit: HitModel | ClipStretch) -> dict[str, Any]:
        told = hit.model_dump(mode="json", exclude_none=True) | {"rank": rank}
        if hit.video not in self._sources:
            self._sources[hit.video] = self._source(self._engine.video(hit.video))
        name = f"frames/{rank:03}-{hit.frame_id}.png"
        try:
            return told | {"file": name, "sha256": self._add(name, self._engine.frame_png(int(hit.frame_id)))}
        except HashreelError as exc:
            return told | {"file": None, "reason": str(exc)}

    def _source(self, video: VideoModel) -> dict[str, Any]:
        told = {
            "video": video.id,
            "source": video.source,
            "kind": video.kind,
            "sha256": video.sha256,
            "duration_s": video.duration_s,
            "width": video.width,
            "height": video.height,
            "codec": video.codec,
            "key_frames": video.policy.model_dump(exclude_none=True),
            "tags": video.tags,
        }
        try:
            path = self._engine.source_path(video.id)
            with path.open("rb") as file:
                now = hashlib.file_digest(file, "sha256").hexdigest()
        except (HashreelError, OSError) as exc:
            return told | {"sha256_now": None, "is_unchanged": None, "reason": str(exc)}
        return told | {"sha256_now": now, "is_unchanged": now == video.sha256}


def _clip_kind(path: Path) -> str:
    """Return the usual suffix of a video file by its first bytes."""
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] == b"ftyp":
        return "mp4"
    return next((kind for first, kind in CLIP_KINDS.items() if start.startswith(first)), "bin")

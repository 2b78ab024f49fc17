"""What documents of the wire look like, by the name of their schema; a test checks each against its model."""

from __future__ import annotations

from typing import Any

__all__ = ["EXAMPLES"]

Document = dict[str, Any]

AT = 1767225600.0
POSITION = {"generation": "1", "log_id": "1767225600000-0"}
FINGERPRINT = "f" * 64
HIT = {
    "video": 7,
    "source": "archive/news.mp4",
    "time_ms": 83000,
    "distance": 2,
    "frame_id": "30064771155",
    "code": "8f01a2b3c4d7",
    "tags": {"case": "17"},
}
ANSWER = {
    "hits": [HIT],
    "code": "8f01a2b3c4d5",
    "bits": 48,
    "fingerprint": FINGERPRINT,
    "position": POSITION,
    "tie_band": 1,
    "gallery": 27000,
    "search_ms": 0.02,
}
IDS = {name: value for name, value in ANSWER.items() if name != "hits"} | {
    "frame_ids": ["30064771155"],
    "distances": [2],
}
STRETCH = {
    "video": 7,
    "source": "archive/news.mp4",
    "tags": {"case": "17"},
    "clip_start_ms": 0,
    "clip_end_ms": 6000,
    "start_ms": 81000,
    "end_ms": 87600,
    "offset_ms": 81000,
    "rate": 1.1,
    "score": 0.83,
    "mean_distance": 2.4,
    "frames": 7,
    "frame_id": "30064771155",
}
JOB = {
    "id": "3fd2a1b0c4d5",
    "state": "running",
    "collection": "main",
    "counts": {"total": 2, "encoding": 1, "indexed": 1},
    "videos": [7, 8],
    "created_at": AT,
}
VIDEO = {
    "id": 7,
    "source": "archive/news.mp4",
    "state": "indexed",
    "frames": 1312,
    "duration_s": 1311.9,
    "width": 1280,
    "height": 720,
    "codec": "h264",
    "sha256": "a" * 64,
    "tags": {"case": "17"},
    "policy": {"kind": "every", "seconds": 1.0},
    "chunks": 3,
    "chunks_done": 3,
    "job": "3fd2a1b0c4d5",
    "added_at": AT,
}
GENERATION = {"generation": "1", "model": "default", "fingerprint": FINGERPRINT, "bits": 48}
COLLECTION = {**GENERATION, "name": "main", "frames": 27000, "videos": 1000, "position": POSITION}
EVALUATION = {
    **GENERATION,
    "id": "5e1ac7",
    "state": "done",
    "name": "itq48-lite0",
    "collection": "main",
    "truth": "b" * 64,
    "source": "main/1",
    "created_at": AT,
    "scores": {"MAP@10": 0.61},
}
HEALTH = {"ready": True, "version": "0.1.0", "generation": "1", "model": "default", "frames": 27000}
INDEX = {
    "collection": "main",
    "kind": "exact",
    "exact": True,
    "bits": 48,
    "frames": 27000,
    "videos": 1000,
    "rows": 27040,
    "tombstones": 40,
    "bytes": 890000,
    "position": POSITION,
    "lag": 0,
}
SUPPRESSION = {
    "id": "9f1c2ab04d77",
    "name": "channel intro",
    "collection": "main",
    "radius": 4,
    "created_at": AT,
    "frames": 212,
}
KEY = {"id": "9f1c2ab04d77", "name": "night ingest", "scope": "write", "collections": ["main"], "created_at": AT}
FAILURE = {
    "source": "archive/broken.mp4",
    "video": 9,
    "job": "3fd2a1b0c4d5",
    "stage": "probe",
    "reason": "moov atom not found",
    "retryable": False,
    "partial": False,
    "at": AT,
}
WATCH = {
    "id": "4be0d1c2a397",
    "name": "stolen painting",
    "note": "",
    "collection": "main",
    "radius": 6,
    "examples": 1,
    "created_at": AT,
    "hits": 3,
    "new": 1,
}
WATCH_HIT = {**HIT, "state": "new", "found_at": AT}
DELIVERY = {"id": "d-17", "watch": "4be0d1c2a397", "state": "delivered", "hits": 1, "tries": 1, "created_at": AT}
AUDIT = {
    "id": "1767225600000-0",
    "at": AT,
    "key": "9f1c2ab04d77",
    "name": "mary",
    "address": "10.1.2.3",
    "action": "search",
    "method": "POST",
    "path": "/v1/search",
    "request_id": "5dd8a8c3402327cc",
    "status": 200,
}

EXAMPLES: dict[str, Document] = {
    "Answer": ANSWER,
    "ApiKeyModel": KEY,
    "ApiKeyRequest": {"name": "night ingest", "scope": "write", "collections": ["main"], "expires_s": 2592000},
    "ApiKeys": {"keys": [KEY]},
    "AuditPage": {"entries": [AUDIT]},
    "Batch": {"results": [{"answer": ANSWER}]},
    "BatchRequest": {"requests": [{"query": {"code": "8f01a2b3c4d5"}}, {"query": {"frame": "30064771073"}, "top": 3}]},
    "ClipAnswer": {
        "stretches": [STRETCH],
        "clip_ms": 6000,
        "clip_frames": 24,
        "step_ms": 250,
        "bits": 48,
        "fingerprint": FINGERPRINT,
        "position": POSITION,
    },
    "Collection": COLLECTION,
    "CollectionRequest": {"name": "faces", "model": "models/faces"},
    "Collections": {"collections": [COLLECTION]},
    "CutoverRequest": {"generation": "2"},
    "Deliveries": {"deliveries": [DELIVERY]},
    "DeliveryModel": DELIVERY,
    "Dropped": {"videos": 12},
    "EvaluationModel": EVALUATION,
    "EvaluationRequest": {"truth": "path,concept\narchive/news.mp4,studio\n", "top": [10, 50], "by": "mary"},
    "Evaluations": {"evaluations": [EVALUATION]},
    "Failures": {"failures": [FAILURE], "total": 1},
    "Frames": {
        "frames": [HIT],
        "missing": ["30064771073"],
        "bits": 48,
        "fingerprint": FINGERPRINT,
        "position": POSITION,
    },
    "Health": HEALTH,
    "IdsAnswer": IDS,
    "ImportedVideos": {"videos": [12, 13], "present": [7]},
    "IndexStatus": INDEX,
    "IndexVerification": {"equal": True, "frames": 27000},
    "JobModel": JOB,
    "JobVideos": {"videos": [7, 8], "total": 2},
    "Jobs": {"jobs": [JOB]},
    "Marked": {"marked": 1},
    "NewApiKey": {**KEY, "secret": "hr_9f1c2ab04d77_..."},
    "NewWatch": {**WATCH, "secret": "whsec_..."},
    "Problem": {
        "type": "urn:hashreel:forbidden",
        "title": "Forbidden",
        "status": 403,
        "detail": "this needs a key of scope write; key 9f1c2ab04d77 (mary) has scope read",
        "request_id": "5dd8a8c3402327cc",
    },
    "ReencodeRequest": {"model": "models/mine"},
    "Relocations": {
        "relocations": [{"video": 7, "old": "archive/2024/news.mp4", "new": "vault/2024/news.mp4", "moved": True}]
    },
    "SessionModel": {"key": "9f1c2ab04d77", "name": "mary", "scope": "read", "needs_key": True},
    "SuppressionModel": SUPPRESSION,
    "Suppressions": {"suppressions": [SUPPRESSION]},
    "Upload": {"source": "uploads/clip.mp4", "bytes": 1048576, "sha256": "c" * 64},
    "VideoModel": VIDEO,
    "Videos": {"videos": [VIDEO], "total": 1},
    "WatchHits": {"hits": [WATCH_HIT]},
    "WatchModel": WATCH,
    "Watches": {"watches": [WATCH]},
}

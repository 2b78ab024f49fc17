"""Puts the HTTP app together."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastapi import Depends, FastAPI

from hashreel import __version__
from hashreel.settings import Settings
from search.access.scoped import ScopedEngine, ScopedQueue
from search.http.access import Access, AccessControl, check_scope, make_access
from search.http.body_limit import BodyLimit
from search.http.envelope import Envelope
from search.http.guard import Guard
from search.http.metrics import Metrics
from search.http.openapi import document
from search.http.parts import Parts
from search.http.problems import add_problem_handlers
from search.http.routes import (
    clips,
    collections,
    evaluations,
    evidence,
    failures,
    frames,
    health,
    index,
    jobs,
    keys,
    page,
    search,
    suppressions,
    uploads,
    videos,
    watches,
)
from search.http.upload_store import ROOT, UploadStore
from search.ports import EnginePort, QueuePort

__all__ = ["make_app"]

UPLOADS_PATH = "/v1/uploads"
CLIP_PATHS = ("/v1/search/clip", "/v1/evidence/clip")
FORM_BYTES = 64 * 2**10  # what a multipart form adds to its file, at most
DESCRIPTION = """Visual search in video archives: the moments that show the same thing, by codes of a few bytes.

Every error is a problem document (`application/problem+json`, RFC 9457); its `type` names the kind of error.
Frame ids are strings, since JavaScript rounds large integers. Times are integers in milliseconds.
"""
NOUNS = (
    search,
    clips,
    evidence,
    suppressions,
    watches,
    videos,
    frames,
    jobs,
    failures,
    collections,
    evaluations,
    index,
    uploads,
    keys,
    health,
    page,
)


def make_app(engine: EnginePort, queue: QueuePort, settings: Settings, access: Access | None = None) -> FastAPI:
    """Return the HTTP app.

    Args:
        engine: Answers queries; its methods block and run in the thread pool.
        queue: Takes work; the same holds.
        settings: Bounds of bodies and uploads, accepted hosts, the data folder for uploads.
        access: Keys, rates and the audit log; without it, there are rates only, and no key is needed.

    Returns:
        An ASGI app that shares nothing with other apps of the process. It holds no background work, and the
        caller opens and closes the engine.
    """
    metrics = Metrics()
    uploads_folder = UploadStore(settings.data / ROOT, settings.max_upload_bytes, settings.uploads_bytes)
    app = FastAPI(
        title="Hashreel",
        version=__version__,
        description=DESCRIPTION,
        # The pages that FastAPI offers load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_scope)],
    )
    access = access or make_access(settings)
    scoped = ScopedEngine(engine, settings.collection, access.rates)
    scoped_queue = ScopedQueue(queue, settings.collection, scoped)
    app.state.parts = Parts(
        cast(EnginePort, scoped), cast(QueuePort, scoped_queue), settings, metrics, uploads_folder, access
    )
    for noun in NOUNS:
        app.include_router(noun.router)
    app.mount("/static", page.static_files(), name="static")
    add_problem_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, limit_of=_limits(settings))
    app.add_middleware(AccessControl, access=access)
    app.add_middleware(Guard, allowed_hosts=settings.allowed_hosts, needs_key=access.needs_key)
    app.add_middleware(Envelope, metrics=metrics, instance=settings.instance)
    document(app)
    return app


def _limits(settings: Settings) -> Callable[[str], tuple[int, str]]:
    larger = {
        UPLOADS_PATH: (settings.max_upload_bytes + FORM_BYTES, "max_upload_bytes"),
        **dict.fromkeys(CLIP_PATHS, (settings.max_clip_bytes + FORM_BYTES, "max_clip_bytes")),
    }

    def limit_of(path: str) -> tuple[int, str]:
        return larger.get(path, (settings.max_body_bytes, "max_body_bytes"))

    return limit_of

"""What the routes ask for by type: the app's engine, queue, settings, metrics and uploads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from hashreel.schemas import MAX_ID, MAX_VIDEO
from hashreel.settings import Settings
from search.http.access import Access
from search.http.metrics import Metrics
from search.http.upload_store import UploadStore
from search.ports import EnginePort, QueuePort

__all__ = ["FrameNumber", "JobId", "Parts", "PartsDep", "VideoNumber"]


@dataclass(frozen=True)
class Parts:
    """What one app is made of."""

    engine: EnginePort
    queue: QueuePort
    settings: Settings
    metrics: Metrics
    uploads: UploadStore
    access: Access


# A coroutine, so that FastAPI does not send it through the thread pool.
async def parts_of(request: Request) -> Parts:
    """Return the parts of the app that serves the request."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


PartsDep = Annotated[Parts, Depends(parts_of)]
VideoNumber = Annotated[int, Path(ge=0, le=MAX_VIDEO, description="The video's number.", examples=[7])]
FrameNumber = Annotated[int, Path(ge=0, le=MAX_ID, description="Id of an indexed frame.", examples=[30064771073])]
JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,100}$", description="The job's id.", examples=["j-20260117-1"])]

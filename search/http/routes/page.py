"""GET /: the page, and /static/... with its parts."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

__all__ = ["PAGE", "router", "static_files"]

PAGE = Path(str(files("search.page")))

router = APIRouter(tags=["page"])


@router.head("/", include_in_schema=False)
@router.get("/", include_in_schema=False)
def page() -> Response:
    """Return the page."""
    return FileResponse(PAGE / "index.html", media_type="text/html", headers={"Cache-Control": "no-cache"})


class _Revalidated(StaticFiles):
    """Static files that the browser asks about each time, so that an upgrade never mixes old parts with new."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


def static_files() -> StaticFiles:
    """Return the app that serves the page's styles and scripts."""
    return _Revalidated(directory=PAGE)

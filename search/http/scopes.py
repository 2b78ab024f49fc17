"""What each address asks of a key, and what the audit log calls its use. Nothing else decides this."""

from __future__ import annotations

from hashreel.schemas import AuditAction, Scope

__all__ = ["action_of", "is_public", "needed_scope"]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# The page itself, the list of addresses and the probes tell nothing about the archive.
PUBLIC = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
SEARCHES = "/v1/search"
LOOK_UP = "/v1/frames"
READS = (SEARCHES, "/v1/evidence", LOOK_UP)  # they send a document, and change nothing
FOR_ADMINS = ("/v1/keys", "/v1/audit")
CHANGED_BY_ADMINS = ("/v1/collections", "/v1/index", "/v1/videos/relocate")
SESSION = "/v1/session"
VIEWS = ("/thumbnail", "/mask", "/source", "/hits", "/pictures/{number}")
EXPORTS = ("/export", "/report", "/evidence")


def is_public(path: str) -> bool:
    """Return whether an address answers without a key."""
    return path in PUBLIC or path.startswith("/static/")


def needed_scope(path: str, method: str) -> Scope | None:
    """Return the scope that a key needs; None where any key will do.

    Args:
        path: Template of the route, such as ``/v1/videos/{video_id}``.
        method: Upper case.
    """
    if path == SESSION:
        return None
    if path.startswith(FOR_ADMINS):
        return "admin"
    if method in SAFE or path.startswith(READS):
        return "read"
    return "admin" if path.startswith(CHANGED_BY_ADMINS) else "write"


def action_of(path: str, method: str) -> AuditAction | None:
    """Return what the audit log calls a request to a route; None for what is not recorded (listing, probing)."""
    if path.startswith(SEARCHES) or path == LOOK_UP:
        return "search"
    if path.endswith(EXPORTS) or "/evidence" in path:
        return "export"
    if method in SAFE:
        return "view" if path.endswith(VIEWS) else None
    return "delete" if method == "DELETE" and path != SESSION else "change"

"""The HTTP face: ``make_app`` puts routes around an engine and a queue."""

from search.http.app import make_app

__all__ = ["make_app"]

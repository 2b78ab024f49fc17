"""Every error that Hashreel raises on purpose.

A message says what is wrong, the value received, what is accepted and what to do. The same tree serves
the library, the command line (exit codes) and HTTP (problem documents), so that one error reads the same
everywhere.
"""

from __future__ import annotations

__all__ = [
    "BadInputError",
    "BehindError",
    "ConflictError",
    "DecodeError",
    "FingerprintMismatchError",
    "ForbiddenError",
    "HashreelError",
    "LogCorruptError",
    "MissingExtraError",
    "ModelFileError",
    "NotFoundError",
    "RateLimitedError",
    "StorageFullError",
    "TooLargeError",
    "UnauthorizedError",
    "UnavailableError",
    "WaitTimeoutError",
]


class HashreelError(Exception):
    """Something went wrong in Hashreel."""

    status = 500
    """The HTTP status that the service answers with."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class BadInputError(HashreelError, ValueError):
    """The input is not of a form that is accepted here."""

    status = 422


class TooLargeError(BadInputError):
    """The input is larger than the configured limit."""

    status = 413


class DecodeError(BadInputError):
    """The picture or video cannot be decoded."""


class FingerprintMismatchError(HashreelError):
    """Codes of two different models cannot be compared."""

    status = 409


class ConflictError(HashreelError):
    """The request does not fit the present state."""

    status = 409


class NotFoundError(HashreelError, LookupError):
    """There is no such thing."""

    status = 404


class ForbiddenError(HashreelError):
    """This is not allowed with the given key, host or source root."""

    status = 403


class UnauthorizedError(ForbiddenError):
    """The service asks for a key, and none that opens it was sent."""

    status = 401


class UnavailableError(HashreelError):
    """A part that is needed for this is not running or not ready."""

    status = 503


class BehindError(UnavailableError):
    """The index has not reached the log position that was asked for."""


class RateLimitedError(UnavailableError):
    """The key was used more often than it may be."""

    status = 429

    def __init__(self, message: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LogCorruptError(HashreelError):
    """The log and the stored values contradict each other."""


class MissingExtraError(HashreelError, ImportError):
    """An optional dependency is not installed."""

    status = 501


class StorageFullError(HashreelError):
    """There is no room left within the configured bound."""

    status = 507


class WaitTimeoutError(HashreelError, TimeoutError):
    """What was waited for did not happen in time; it may still happen."""

    status = 504


class ModelFileError(HashreelError):
    """A model's files are damaged, changed or of an unknown format."""

"""API keys in Redis, hashed; and the sessions that a browser opens with one.

A secret has 256 random bits, so that one round of SHA-256 protects it: there is nothing to guess. Revoked keys stay as
records, for the audit log names them, and so that revoking the last key does not open the service to everybody.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import redis

from hashreel.errors import BadInputError, ConflictError, NotFoundError
from hashreel.schemas import ApiKeyModel, Scope
from indexer.keys import Keys
from search.access.callers import Caller

__all__ = ["SECRET", "Key", "Keyring"]

SECRET = re.compile(r"hr_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
REFRESH_S = 1.0
SESSION_CACHE_S = 30.0
SESSIONS_KEPT = 10_000


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class Key:
    """What is kept of a key; ``digest`` is the SHA-256 of its secret, hex."""

    id: str
    name: str
    scope: Scope
    digest: str
    created_at: float
    collections: list[str] | None = None
    expires_at: float | None = None
    revoked_at: float | None = None

    def is_good(self) -> bool:
        """Return whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or time.time() < self.expires_at)

    def caller(self) -> Caller:
        """Return who comes with this key."""
        return Caller(self.id, self.name, self.scope, None if self.collections is None else frozenset(self.collections))

    def model(self) -> ApiKeyModel:
        """Return what is shown of it."""
        fields = asdict(self)
        del fields["digest"]
        return ApiKeyModel(**fields)


class Keyring:
    """Makes, lists, revokes and recognises keys. All methods may block on Redis, except ``find`` and ``is_empty``.

    Args:
        client: Connection to the data's Redis.
        keys: Key names.
        local_key: A secret that counts as an admin's; the embedded stack's own clients use it.
    """

    def __init__(self, client: redis.Redis, keys: Keys | None = None, local_key: str = "") -> None:
        self._redis = client
        self._keys = keys or Keys()
        self._local = _digest(local_key) if local_key else ""
        self._known: dict[str, Key] = {}
        self._looked_at = float("-inf")
        self._sessions: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @property
    def is_old(self) -> bool:
        """Whether ``refresh`` is due."""
        return time.monotonic() - self._looked_at > REFRESH_S

    @property
    def is_empty(self) -> bool:
        """Whether no key was ever made, as far as was seen by the last ``refresh``."""
        return not self._known

    def refresh(self) -> None:
        """Look at the stored keys, if that is due; while Redis is down, those that were known go on."""
        with self._lock:
            if not self.is_old:
                return
            try:
                self._known = {key.id: key for key in self._load()}
            except redis.RedisError:
                if self._looked_at == float("-inf"):
                    raise
            self._looked_at = time.monotonic()

    def everything(self) -> list[Key]:
        """Return all keys, revoked ones too, oldest first."""
        return sorted(self._load(), key=lambda key: (key.created_at, key.id))

    def create(
        self, name: str, scope: Scope, collections: Iterable[str] | None = None, expires_s: float | None = None
    ) -> tuple[Key, str]:
        """Make a key; return it and its secret, which is not kept.

        Raises:
            BadInputError: if ``collections`` is an empty list, which would be good for nothing.
            ConflictError: if it is the first one and no admin's: making it closes an open service, and nobody could
                make another.
        """
        allowed = None if collections is None else sorted(set(collections))
        if allowed == []:
            raise BadInputError("collections is an empty list; name at least one, or leave it out for all")
        if (scope != "admin" or allowed is not None) and not self._load():
            raise ConflictError("the first key must have scope admin and no limit, since it closes the open service")
        identity, now = secrets.token_hex(6), time.time()
        secret = f"hr_{identity}_{secrets.token_urlsafe(32)}"
        key = Key(identity, name, scope, _digest(secret), now, allowed, None if expires_s is None else now + expires_s)
        self._save(key)
        return key, secret

    def revoke(self, identity: str) -> Key:
        """Let a key open nothing from now on (on other replicas within a second), its sessions included."""
        raw = self._redis.hget(self._keys.api_keys, identity)
        if raw is None:
            raise NotFoundError(f"there is no key {identity!r}; `hashreel keys list` shows those that exist")
        key = Key(**json.loads(raw))
        if key.revoked_at is None:
            key = replace(key, revoked_at=time.time())
            self._save(key)
        return key

    def find(self, secret: str) -> Caller | None:
        """Return who comes with a secret; None if it opens nothing."""
        if self._local and hmac.compare_digest(_digest(secret), self._local):
            return Caller("local", "the embedded stack's own", "admin")
        match = SECRET.fullmatch(secret)
        key = self._known.get(match[1]) if match else None
        if key is None or not hmac.compare_digest(key.digest, _digest(secret)) or not key.is_good():
            return None
        return key.caller()

    # Sessions

    def open_session(self, caller: Caller, seconds: int) -> str:
        """Return a token that stands for a caller's key for so long; only its hash is kept."""
        token = secrets.token_urlsafe(32)
        self._redis.set(self._keys.api_session(_digest(token)), caller.id, ex=seconds)
        return token

    def close_session(self, token: str) -> None:
        """Forget a token."""
        self._sessions.pop(_digest(token), None)
        self._redis.delete(self._keys.api_session(_digest(token)))

    def cached_session(self, token: str) -> Caller | None:
        """Return whose session it is without asking Redis; None if that is not known well enough."""
        identity, until = self._sessions.get(_digest(token), ("", 0.0))
        return self._of(identity) if time.monotonic() < until else None

    def find_session(self, token: str) -> Caller | None:
        """Return whose session it is; None if it ended or its key was revoked."""
        digest = _digest(token)
        try:
            raw = self._redis.get(self._keys.api_session(digest))
        except redis.RedisError:
            # Answers go on while Redis is down, for those who were known.
            return self._of(self._sessions.get(digest, ("", 0.0))[0])
        if raw is None:
            self._sessions.pop(digest, None)
            return None
        if len(self._sessions) >= SESSIONS_KEPT:
            self._sessions.clear()
        identity = raw.decode() if isinstance(raw, bytes) else str(raw)
        self._sessions[digest] = (identity, time.monotonic() + SESSION_CACHE_S)
        return self._of(identity)

    def _of(self, identity: str) -> Caller | None:
        key = self._known.get(identity)
        return key.caller() if key is not None and key.is_good() else None

    def _load(self) -> list[Key]:
        return [Key(**json.loads(raw)) for raw in self._redis.hvals(self._keys.api_keys)]

    def _save(self, key: Key) -> None:
        self._redis.hset(self._keys.api_keys, key.id, json.dumps(asdict(key)))
        with self._lock:
            self._known = {**self._known, key.id: key}

"""Webhooks of watch-lists: how a message is signed, sent and checked. Receivers can use :func:`verify`.

The headers are those of Standard Webhooks [0]: ``webhook-id`` (the idempotency key), ``webhook-timestamp`` and
``webhook-signature``, an HMAC-SHA256 over id, timestamp and body.

[0] Standard Webhooks, 2023, https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hashreel.errors import BadInputError, ForbiddenError, HashreelError
from hashreel.outbound import OutboundRules, check_target, post

__all__ = ["Outcome", "check_url", "headers_of", "new_secret", "place_of", "send", "verify"]

PREFIX = "whsec_"
TOLERANCE_S = 300.0


@dataclass(frozen=True)
class Outcome:
    """What came of a try.

    Attributes:
        ok: Whether the receiver took the message (a status of 200 to 299).
        status: HTTP status; 0 without an answer.
        reason: What was wrong; empty if nothing was.
    """

    ok: bool
    status: int
    reason: str = ""


def new_secret() -> str:
    """Return a fresh secret to sign with."""
    return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def headers_of(secret: str | Sequence[str], message_id: str, body: bytes, at: float | None = None) -> dict[str, str]:
    """Return the headers of a message.

    Args:
        secret: Of the watch; several sign side by side, so that a receiver may still have the one before.
        message_id: The idempotency key.
        body: As it is sent.
        at: Seconds since 1970; None is now.
    """
    stamp = str(int(time.time() if at is None else at))
    secrets_ = [secret] if isinstance(secret, str) else secret
    return {
        "content-type": "application/json",
        "user-agent": "hashreel",
        "idempotency-key": message_id,
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(_signature(one, message_id, stamp, body) for one in secrets_),
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, tolerance_s: float = TOLERANCE_S) -> Any:
    """Return the document of a received message, if it is one of ours and fresh.

    Args:
        secret: Of the watch, as shown when it was made.
        headers: Of the request; names in lower case or of any case where the mapping does not care.
        body: The body as it came, before any parsing.
        tolerance_s: How old it may be.

    Raises:
        ForbiddenError: If the signature is not right, or the message is too old. Do not act on it then.

    Example:
        In a receiver::

            message = verify("whsec_...", request.headers, request.body)
            if message["id"] not in seen:
                for hit in message["hits"]:
                    print(hit["source"], hit["time_ms"])
    """
    known = {name.lower(): value for name, value in headers.items()}
    stamp, message_id = known.get("webhook-timestamp", ""), known.get("webhook-id", "")
    if not stamp.isascii() or not stamp.isdigit() or abs(time.time() - int(stamp)) > tolerance_s:
        raise ForbiddenError(f"the message's timestamp is {stamp!r}; accepted: within {tolerance_s:.0f} s of now")
    wanted = _signature(secret, message_id, stamp, body)
    given = known.get("webhook-signature", "").split(" ")
    if not any(hmac.compare_digest(wanted.encode(), signature.encode()) for signature in given):
        raise ForbiddenError("the message's signature is not of this secret; it was changed, or somebody else sent it")
    return json.loads(body)


def check_url(url: str, hosts: Collection[str]) -> None:
    """Make sure that messages may be sent to an address; where its name leads to is looked at when they are.

    Args:
        url: The address.
        hosts: Those that are allowed; see ``hashreel.outbound.OutboundRules``.

    Raises:
        BadInputError: If it is no http(s) address, or carries a password or a fragment.
        ForbiddenError: If its host is not allowed.
    """
    if check_target(url, _rules(hosts)).fragment:
        raise BadInputError("a webhook's address has no fragment; put a token into its path or query")


def send(url: str, hosts: Collection[str], headers: Mapping[str, str], body: bytes, timeout_s: float) -> Outcome:
    """Send a message once. Redirects are not followed, proxies of the environment not used, answers not read.

    Args:
        url: Where to.
        hosts: Those that are allowed; looked at again, since the list may have changed.
        headers: See :func:`headers_of`.
        body: The message.
        timeout_s: Longest wait for all of it.
    """
    try:
        status = post(url, _rules(hosts, timeout_s), headers, body)
    except HashreelError as exc:
        # Whoever sees why a message was not taken need not see a token in the address.
        return Outcome(False, 0, str(exc).replace(url, place_of(url)))
    if 300 <= status < 400:
        return Outcome(False, status, f"the receiver answered {status}; redirects are not followed")
    return Outcome(True, status) if 200 <= status < 300 else Outcome(False, status, f"the receiver answered {status}")


def place_of(url: str) -> str:
    """Return a webhook's address without what may be a secret in it: its path and query.

    Example:
        >>> place_of("https://desk.example:8443/hooks/T0KEN?key=1")
        'https://desk.example:8443/...'
    """
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return url if not url or url.rstrip("/") == origin else f"{origin}/..."


def _rules(hosts: Collection[str], timeout_s: float = 10.0) -> OutboundRules:
    return OutboundRules(hosts, "webhook_hosts", max_bytes=0, timeout_s=timeout_s, max_redirects=0)


def _signature(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadInputError("the secret is not one of ours; expected whsec_ and base64") from exc
    signed = f"{message_id}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

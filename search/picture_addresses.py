"""Query pictures that are named by an address, on hosts that the service may read."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING

from hashreel.errors import BadInputError, ForbiddenError, TooLargeError, UnavailableError
from hashreel.outbound import OutboundRules, StatusError, fetch
from hashreel.schemas import Query

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["PictureAddresses"]

AT_A_TIME = 4  # each may hold a thread of the service for as long as picture_url_s
WAIT_S = 10.0


class PictureAddresses:
    """Reads pictures by URL.

    Args:
        settings: ``picture_hosts``, ``picture_url_s``, and ``max_body_bytes``, which bounds these pictures, too.

    Raises:
        BadInputError: If an entry of ``picture_hosts`` means nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._rules = OutboundRules(
            settings.picture_hosts, "picture_hosts", settings.max_body_bytes, settings.picture_url_s
        )
        self._reading = threading.BoundedSemaphore(AT_A_TIME)

    def fetched(self, query: Query) -> Query:
        """Return the query with the picture itself in the place of its address; others as they are.

        Raises:
            BadInputError: If it is no address, or no picture comes from there in time.
            ForbiddenError: If its host may not be read.
            TooLargeError: If it is larger than a body may be.
            UnavailableError: If too many pictures are being read.
        """
        if query.url is None:
            return query
        if not self._reading.acquire(timeout=WAIT_S):
            raise UnavailableError(f"{AT_A_TIME} pictures are being read by their URLs; try again in a moment")
        try:
            picture = self._read(query.url)
        finally:
            self._reading.release()
        return Query(image=base64.b64encode(picture).decode(), box=query.box)

    def _read(self, url: str) -> bytes:
        try:
            return fetch(url, self._rules)
        except ForbiddenError as exc:
            raise ForbiddenError(f"the query's url is refused: {exc}; send the picture itself instead") from exc
        except TooLargeError as exc:
            raise TooLargeError(f"{exc} (max_body_bytes, HASHREEL_MAX_BODY_BYTES)") from exc
        except StatusError as exc:
            raise BadInputError(f"{exc}; send the picture itself") from exc  # the status is theirs, not ours
        except UnavailableError as exc:
            # It is another service that does not answer; a second try here would not help.
            raise BadInputError(f"{exc} (picture_url_s, HASHREEL_PICTURE_URL_S); send the picture itself") from exc

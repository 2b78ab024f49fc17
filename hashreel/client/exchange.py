"""How a call is carried out: tries, pauses, and the translation of what goes wrong. No I/O: the clients drive it."""

from __future__ import annotations

import random
import re
from collections.abc import Generator
from typing import Any, NoReturn, TypeAlias, TypeVar

import httpx
from pydantic import ValidationError

from hashreel import errors
from hashreel.client.calls import Call
from hashreel.errors import (
    BadInputError,
    ConflictError,
    ForbiddenError,
    HashreelError,
    NotFoundError,
    RateLimitedError,
    StorageFullError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from hashreel.schemas import Answer, Batch, Problem

__all__ = ["Exchange", "Outcome", "Step", "answers_of", "check_url", "error_of_problem", "exchange"]

T = TypeVar("T")
Step: TypeAlias = "Call[Any] | float"
"""What the client does next: send the call, or pause for so many seconds."""
Outcome: TypeAlias = "httpx.Response | httpx.RequestError | None"
Exchange: TypeAlias = Generator[Step, Outcome, T]

PAUSES_S = (0.1, 0.3)
LONGEST_PAUSE_S = 5.0
PASSING = frozenset({429, 502, 503, 504})
BY_STATUS = {
    400: BadInputError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    421: ForbiddenError,
    422: BadInputError,
    429: RateLimitedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
    507: StorageFullError,
}


def _classes() -> dict[str, type[HashreelError]]:
    """Return our errors by the name that problem documents give them."""
    classes = (getattr(errors, name) for name in errors.__all__)
    return {re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__.removesuffix("Error")).lower(): kind for kind in classes}


CLASSES = _classes()


def check_url(url: str) -> str:
    """Return the service's URL without a closing slash; BadInputError if it is not one of HTTP."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as exc:
        raise BadInputError(f"url is {url!r}, which is no URL: {exc}") from exc
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise BadInputError(f"url is {url!r}; write it as http://host:port")
    return url.rstrip("/")


def exchange(call: Call[T], url: str, timeout_s: float) -> Exchange[T]:
    """Yield what to do next and be sent what came of it, until the result is there.

    Args:
        call: What to send.
        url: The service's address, for messages.
        timeout_s: The longest wait, for messages.

    Returns:
        The call's result.

    Raises:
        HashreelError: the class that the service raised, with its words; UnavailableError if nobody answers.
    """
    pauses = PAUSES_S if call.repeatable else ()
    for pause in (*pauses, None):
        outcome = yield call
        assert outcome is not None
        if isinstance(outcome, httpx.Response) and (outcome.is_success or outcome.status_code in call.accepted):
            return _parsed(call, outcome, url)
        if pause is None or not _may_pass(outcome):
            _raise(outcome, url, call.timeout_s or timeout_s)
        yield _pause(pause, outcome)
    raise AssertionError("the last try returns or raises")


def _may_pass(outcome: httpx.Response | httpx.RequestError) -> bool:
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in PASSING
    # A read that timed out is not repeated: the service is busy with it, and more of the same will not help.
    return isinstance(outcome, httpx.NetworkError | httpx.RemoteProtocolError)


def _pause(pause: float, outcome: httpx.Response | httpx.RequestError) -> float:
    asked = outcome.headers.get("retry-after", "") if isinstance(outcome, httpx.Response) else ""
    if asked.isdecimal():
        return min(float(asked), LONGEST_PAUSE_S)
    return pause * random.uniform(0.7, 1.3)  # so that many clients do not come back in step


def _parsed(call: Call[T], response: httpx.Response, url: str) -> T:
    try:
        return call.parse(response)
    except ValidationError as exc:
        if response.is_success:
            raise HashreelError(
                f"{url} answered {call.method} {call.path} with what this client does not understand; is it a Hashreel "
                f"service, and of a version near this client's? ({exc.error_count()} fields do not fit)"
            ) from exc
        raise _error_of(response, url) from exc


def _raise(outcome: httpx.Response | httpx.RequestError, url: str, timeout_s: float) -> NoReturn:
    if isinstance(outcome, httpx.Response):
        raise _error_of(outcome, url)
    if isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout):
        raise UnavailableError(
            f"no Hashreel service answers at {url} ({outcome}); start one with `hashreel up`, or name another url"
        ) from outcome
    if isinstance(outcome, httpx.TimeoutException):
        raise UnavailableError(
            f"{url} did not answer within {timeout_s:g} s; raise timeout_s or try later"
        ) from outcome
    raise UnavailableError(f"the connection to {url} broke: {outcome or type(outcome).__name__}") from outcome


def _error_of(response: httpx.Response, url: str) -> HashreelError:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        request = response.request
        text = f"{url} answered {request.method} {request.url.path} with {response.status_code} and no reason"
        problem = Problem(title="", status=response.status_code, detail=text)
    return error_of_problem(problem)


def error_of_problem(problem: Problem) -> HashreelError:
    """Return the error that a problem document stands for."""
    kind = CLASSES.get(problem.type.removeprefix("urn:hashreel:")) or BY_STATUS.get(problem.status, HashreelError)
    detail = problem.detail
    if problem.status >= 500 and problem.request_id and problem.request_id not in detail:
        detail += f" (request {problem.request_id})"
    error = kind(detail)
    error.status = problem.status
    return error


def answers_of(batch: Batch) -> list[Answer]:
    """Return the answers of a batch; raises the error of the first query that was refused."""
    answers = []
    for item in batch.results:
        if item.problem is not None:
            raise error_of_problem(item.problem)
        assert item.answer is not None
        answers.append(item.answer)
    return answers

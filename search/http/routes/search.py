"""POST /v1/search: a picture, an indexed frame or a code in; ranked hits out."""

from __future__ import annotations

import base64
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from hashreel.errors import BadInputError, HashreelError, TooLargeError
from hashreel.schemas import Answer, Batch, BatchItem, BatchRequest, IdsAnswer, SearchRequest
from search.http.form_options import FORM_FIELDS, options_from_form
from search.http.parts import Parts, PartsDep
from search.http.problems import problem_of, problems, request_id_of

__all__ = ["router"]

router = APIRouter(prefix="/v1/search", tags=["search"])
URLS_AT_ONCE = 16  # they are read one after the other, each for as long as picture_url_s
FAILURES = problems(400, 403, 404, 409, 413, 422, 503)


# Returned as text: validating our own answer once more would cost more than the index.
@router.post("", response_model=Answer, responses=FAILURES, summary="Search by picture, frame or code")
def search(request: SearchRequest, parts: PartsDep) -> Response:
    """Answer one query; hits are ordered by (distance, frame id)."""
    return _json(_answer(parts, request))


@router.post("/ids", response_model=IdsAnswer, responses=FAILURES, summary="Search for ids and distances alone")
def search_ids(request: SearchRequest, parts: PartsDep) -> Response:
    """Answer one query with the ids and distances of its hits, in the same order: for many hits at once.

    `top` may be larger than elsewhere. `POST /v1/frames` tells more of those that are looked at.
    """
    begin = time.perf_counter()
    answer = parts.engine.search_ids(request)
    parts.metrics.answered(request.query, answer, time.perf_counter() - begin)
    return _json(answer)


@router.post(
    "/image",
    response_model=Answer,
    responses=FAILURES,
    summary="Search by an uploaded picture",
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM_FIELDS}}}},
)
async def search_image(request: Request, parts: PartsDep) -> Response:
    """Answer a query whose picture is the form's file `image`; options are form fields or query parameters.

    As in `curl -F image=@query.jpg -F top=5 http://127.0.0.1:8000/v1/search/image`.
    """
    async with request.form(max_files=1, max_fields=1000) as form:
        picture = await _picture(form)
        options = options_from_form([*request.query_params.multi_items(), *_plain(form)])
    return _json(await run_in_threadpool(_answer_picture, parts, picture, options))


@router.post("/batch", response_model=Batch, responses=FAILURES, summary="Several queries at once")
def search_batch(batch: BatchRequest, request: Request, parts: PartsDep) -> Response:
    """Answer queries in order; one that is refused leaves a problem in its place and the others go on."""
    limit = parts.settings.max_batch
    if len(batch.requests) > limit:
        raise TooLargeError(
            f"the batch has {len(batch.requests)} queries; this service takes {limit} at once (max_batch, "
            "HASHREEL_MAX_BATCH)"
        )
    if sum(item.query.url is not None for item in batch.requests) > URLS_AT_ONCE:
        raise TooLargeError(f"more than {URLS_AT_ONCE} queries of the batch name a url; send the pictures themselves")
    request_id = request_id_of(request.scope)
    results = []
    for item in batch.requests:
        try:
            results.append(BatchItem(answer=_answer(parts, item)))
        except HashreelError as error:
            results.append(BatchItem(problem=problem_of(error, request_id)))
    return _json(Batch(results=results))


def _answer(parts: Parts, request: SearchRequest) -> Answer:
    begin = time.perf_counter()
    answer = parts.engine.search(request)
    parts.metrics.answered(request.query, answer, time.perf_counter() - begin)
    return answer


def _answer_picture(parts: Parts, picture: bytes, options: dict[str, Any]) -> Answer:
    query = {"image": base64.b64encode(picture).decode(), "box": options.pop("box", None)}
    try:
        request = SearchRequest.model_validate({**options, "query": query})
    except ValidationError as exc:
        raise RequestValidationError(exc.errors()) from exc
    return _answer(parts, request)


async def _picture(form: FormData) -> bytes:
    image = form.get("image")
    if not isinstance(image, UploadFile):
        raise BadInputError("the form has no file named image; send one, as in: curl -F image=@query.jpg")
    return await image.read()


def _plain(form: FormData) -> list[tuple[str, str]]:
    return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]


def _json(document: Answer | IdsAnswer | Batch) -> Response:
    return Response(document.model_dump_json(), media_type="application/json")

"""What a clip query sends and how its answer is read: plain values, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import ValidationError

from hashreel.client.calls import Call, reader
from hashreel.errors import BadInputError
from hashreel.schemas import ClipAnswer, ClipOptions, ClipStretch

__all__ = ["ClipKeywords", "Stretch", "Stretches", "search_clip"]

Stretch = ClipStretch
CLIP_S = 600.0  # every frame of the clip goes through the network first


class ClipKeywords(TypedDict, total=False):
    """How to look for a clip; see ``Client.search_clip``."""

    tags: Mapping[str, str | list[str]] | None
    videos: Iterable[int] | None
    between: tuple[float, float] | None
    exclude_video: int | None
    include_suppressed: bool
    collection: str | None
    min_position: str | None
    consistency: Literal["latest", "eventual"]


class Stretches(list[ClipStretch]):
    """Stretches by falling score.

    Attributes:
        answer: The whole answer as it came.
    """

    def __init__(self, answer: ClipAnswer) -> None:
        super().__init__(answer.stretches)
        self.answer = answer


def search_clip(path: Path, top: int, options: ClipKeywords) -> Call[ClipAnswer]:
    """Return the call of a clip query, without the body, which the client streams from the file."""
    if not path.is_file():
        raise BadInputError(f"there is no file {str(path)!r}; a clip query takes a video file")
    checked = _checked(top, dict(options))
    params: list[tuple[str, str | int]] = [("top", checked.top)]
    params += [("video", number) for number in checked.videos or ()]
    for key, values in (checked.tags or {}).items():
        params += [("tag", f"{key}={value}") for value in ([values] if isinstance(values, str) else values)]
    if checked.between is not None:
        params.append(("between", f"{checked.between[0]},{checked.between[1]}"))
    for name in ("exclude_video", "collection", "min_position"):
        value = getattr(checked, name)
        params += [] if value is None else [(name, value)]
    params += [("include_suppressed", "true")] if checked.include_suppressed else []
    params.append(("consistency", checked.consistency))
    return Call("POST", "/v1/search/clip", reader(ClipAnswer), params, timeout_s=CLIP_S)


def _checked(top: int, fields: dict[str, Any]) -> ClipOptions:
    if fields.get("between") is not None:
        fields["between"] = tuple(round(seconds * 1000) for seconds in fields["between"])
    if fields.get("videos") is not None:
        fields["videos"] = list(fields["videos"])
    try:
        return ClipOptions.model_validate({"top": top, **fields})
    except ValidationError as exc:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors(include_url=False))
        raise BadInputError(f"the request is refused: {reasons}") from exc

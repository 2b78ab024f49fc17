"""What a search returns: a list of hits that also knows about the answer as a whole."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from typing import Any, TypeAlias

from hashreel.errors import HashreelError, MissingExtraError
from hashreel.schemas import Answer, HitModel, Position

__all__ = ["Hit", "Hits"]

Hit: TypeAlias = HitModel

SHOWN = 50
PICTURED = 20


class Hits(list[Hit]):
    """Hits in order of (distance, frame id).

    Attributes:
        answer: The whole answer as it came.
    """

    def __init__(self, answer: Answer, thumbnail: Callable[[str, int], bytes] | None = None) -> None:
        super().__init__(answer.hits)
        self.answer = answer
        self._thumbnail = thumbnail

    @property
    def position(self) -> Position:
        """The place in the log that the answer has seen."""
        return self.answer.position

    @property
    def code(self) -> str:
        """The query's code, hex; ``"code:" + hits.code`` searches for it again."""
        return self.answer.code

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model that made the codes."""
        return self.answer.fingerprint

    @property
    def behind(self) -> bool:
        """Whether the service gave up waiting for the newest writes."""
        return self.answer.behind

    @property
    def stale(self) -> bool:
        """Whether Redis did not answer, so that recent writes may be missing."""
        return self.answer.stale

    @property
    def tie_band(self) -> int:
        """Number of frames in the gallery at the distance of the last hit."""
        return self.answer.tie_band

    @property
    def gallery(self) -> int:
        """Number of live frames in the gallery."""
        return self.answer.gallery

    def to_pandas(self) -> Any:
        """Return the hits as a ``pandas.DataFrame``, one row a hit.

        Raises:
            MissingExtraError: if pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped]
        except ImportError as exc:
            raise MissingExtraError("pandas is not installed; pip install pandas") from exc
        columns = ["video", "source", "time_s", "distance", "frame_id", "code", "tags"]
        rows = [[getattr(hit, name) for name in columns] for hit in self]
        return pandas.DataFrame(rows, columns=columns)

    def _repr_html_(self) -> str:
        """Return a table for notebooks, with pictures where the service can still be asked for them."""
        pictures = self._pictures()
        rows = "".join(_row(hit, picture) for hit, picture in zip(self[:SHOWN], pictures, strict=True))
        more = f"<p>and {len(self) - SHOWN} more</p>" if len(self) > SHOWN else ""
        head = "<tr><th></th><th>distance</th><th>time</th><th>video</th><th>source</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>{more}"

    def _pictures(self) -> list[bytes | None]:
        pictures: list[bytes | None] = []
        fetch = self._thumbnail
        for index, hit in enumerate(self[:SHOWN]):
            picture = None
            if fetch is not None and index < PICTURED:
                try:
                    picture = fetch(hit.frame_id, 160)
                except HashreelError:
                    fetch = None  # one refusal is enough: showing a result must not wait for each in turn
            pictures.append(picture)
        return pictures


def _row(hit: Hit, picture: bytes | None) -> str:
    image = ""
    if picture is not None:
        image = f'<img alt="" width="160" src="data:image/jpeg;base64,{base64.b64encode(picture).decode()}">'
    cells: tuple[Any, ...] = (hit.distance, f"{hit.time_s:.1f} s", hit.video, hit.file)
    return f"<tr><td>{image}</td>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"

"""Reads the one file of a multipart form while it streams in, without a temporary copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from hashreel.errors import BadInputError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["FilePart", "FileStream"]


@dataclass
class FilePart:
    """A piece of the form's file: ``data`` of the file named ``filename``."""

    filename: str
    data: bytes


class FileStream:
    """A push parser: feed it the body's pieces, get the pieces of the file.

    Args:
        content_type: The request's Content-Type, with the boundary.

    Raises:
        BadInputError: if the form names no boundary, is malformed, or has not exactly one file.
    """

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise BadInputError("the multipart form names no boundary in its Content-Type")
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }
        with_limits = {"max_header_count": 8, "max_header_size": 4096}
        try:
            self._parser = MultipartParser(boundary, callbacks, **with_limits)
        except FormParserError as exc:
            raise BadInputError(f"the multipart form's boundary is refused: {exc}") from exc
        self._name = self._value = b""
        self._disposition = b""
        self._filename: str | None = None
        self._in_file = False
        self._ended = False
        self._pieces: list[FilePart] = []

    def feed(self, data: bytes) -> list[FilePart]:
        """Return the pieces of the file that lie in ``data``."""
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise BadInputError(f"the multipart form is malformed: {exc}") from exc
        pieces, self._pieces = self._pieces, []
        return pieces

    def close(self) -> None:
        """Check that the form came to its end and had a file."""
        if not self._ended:
            raise BadInputError("the multipart form is cut off before its end")
        if self._filename is None:
            raise BadInputError("the multipart form has no file; send one, as in: curl -F file=@clip.mp4")

    def _on_part_begin(self) -> None:
        self._disposition = b""
        self._in_file = False

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        filename = parse_options_header(self._disposition)[1].get(b"filename")
        if filename is None:
            return  # a plain field: nothing here is asked of the form but its file
        if self._filename is not None:
            raise BadInputError("the multipart form has more than one file; send one a request")
        self._filename = filename.decode(errors="replace")
        self._in_file = True

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file and self._filename is not None:
            self._pieces.append(FilePart(self._filename, data[start:end]))

    def _on_end(self) -> None:
        self._ended = True

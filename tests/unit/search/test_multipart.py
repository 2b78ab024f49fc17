"""The streamed form reader gives the same file however the body is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashreel.errors import BadInputError
from search.http.multipart import FileStream

TYPE = 'multipart/form-data; boundary="b0"'


def form(data: bytes, name: str = "clip.mp4") -> bytes:
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: video/mp4\r\n\r\n'
    note = b'--b0\r\nContent-Disposition: form-data; name="note"\r\n\r\nnot the file\r\n'
    return note + b"--b0\r\n" + head.encode() + data + b"\r\n--b0--\r\n"


def read(body: bytes, cuts: list[int]) -> tuple[set[str], bytes]:
    stream = FileStream(TYPE)
    places = [0, *sorted(cuts), len(body)]
    pieces = [piece for start, end in pairwise(places) for piece in stream.feed(body[start:end])]
    stream.close()
    return {piece.filename for piece in pieces}, b"".join(piece.data for piece in pieces)


def test_every_single_cut_gives_the_same_file():
    data = b"a\r\n--b\r\n--b1 no boundary\r\n-\r--b0\r\n"
    body = form(data)
    for cut in range(len(body)):
        assert read(body, [cut]) == ({"clip.mp4"}, data)
    assert read(body, list(range(len(body)))) == ({"clip.mp4"}, data)


@given(st.binary(max_size=300), st.data())
def test_any_bytes_and_cuts(data, draw):
    body = form(data.replace(b"\r\n--b0", b"\r\n--xx"))
    cuts = draw.draw(st.lists(st.integers(0, len(body)), max_size=8))
    assert read(body, cuts)[1] == data.replace(b"\r\n--b0", b"\r\n--xx")


def test_names_in_other_scripts_arrive():
    assert read(form(b"x", "видео 動画.mp4"), [])[0] == {"видео 動画.mp4"}


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reader_but_by_a_refusal(body):
    with pytest.raises(BadInputError):
        read(body, [])


def test_endless_headers_are_refused():
    body = b"--b0\r\nX: " + b"x" * 100_000
    with pytest.raises(BadInputError, match="malformed"):
        read(body, list(range(0, len(body), 5000)))

"""The methods of ``Client`` and ``AsyncClient`` about files: sources, masks, packages of clips."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, Unpack

from hashreel.client import media_calls
from hashreel.client.calls import Call, whole_file, written
from hashreel.client.clip_calls import ClipKeywords
from hashreel.schemas import Collection

__all__ = ["AsyncMediaMethods", "MediaMethods", "file_blocks", "file_pieces"]

T = TypeVar("T")
PIECE_BYTES = 2**20
Told = Callable[[int], object]


class MediaMethods:
    """What ``Client`` does with files of the service."""

    def _run(self, call: Call[T], **extra: Any) -> T:
        raise NotImplementedError

    def collection(self, name: str) -> Collection:
        """Return one collection; NotFoundError if there is none."""
        return self._run(media_calls.collection(name))

    def mask(self, frame_id: str | int) -> bytes:
        """Return what the model sees in an indexed frame: a PNG to lay over its thumbnail.

        Raises:
            NotFoundError: if there is no such frame, or its model does not segment.
        """
        return self._run(media_calls.mask(frame_id))

    def download_source(self, video_id: int, path: str | os.PathLike[str]) -> int:
        """Write a video's file to ``path``, whole or not at all; return its size in bytes."""
        with whole_file(path) as aside:
            self._run(media_calls.source(video_id), into=aside)
        return os.stat(path).st_size

    def clip_evidence(
        self,
        clip: str | os.PathLike[str],
        path: str | os.PathLike[str],
        top: int = 10,
        **options: Unpack[ClipKeywords],
    ) -> int:
        """Look for a clip, and write the stretches that match it as a ZIP of evidence; return its size in bytes.

        It holds the clip, a whole frame (PNG) of each stretch, the times of both, the sources' SHA-256, the model's
        fingerprint and the index position, with ``SHA256SUMS`` over all of it.

        Args:
            clip: A video file of this machine.
            path: The file to write.
            top: Number of stretches, at most 200.
            **options: As for ``search_clip``.
        """
        source = Path(clip)
        call = media_calls.clip_evidence(source, top, options)
        with source.open("rb") as file:
            return written(path, self._run(call, content=file, headers=media_calls.clip_headers(source)))


class AsyncMediaMethods:
    """What ``AsyncClient`` does with files of the service; see ``MediaMethods``."""

    async def _run(self, call: Call[T], **extra: Any) -> T:
        raise NotImplementedError

    async def collection(self, name: str) -> Collection:
        """Return one collection; NotFoundError if there is none."""
        return await self._run(media_calls.collection(name))

    async def mask(self, frame_id: str | int) -> bytes:
        """Return what the model sees in an indexed frame; see ``Client.mask``."""
        return await self._run(media_calls.mask(frame_id))

    async def download_source(self, video_id: int, path: str | os.PathLike[str]) -> int:
        """Write a video's file to ``path``, whole or not at all; return its size in bytes."""
        with whole_file(path) as aside:
            await self._run(media_calls.source(video_id), into=aside)
        return (await asyncio.to_thread(os.stat, path)).st_size

    async def clip_evidence(
        self,
        clip: str | os.PathLike[str],
        path: str | os.PathLike[str],
        top: int = 10,
        **options: Unpack[ClipKeywords],
    ) -> int:
        """Look for a clip, and write what matches as a ZIP of evidence; see ``Client.clip_evidence``."""
        source = Path(clip)
        call = media_calls.clip_evidence(source, top, options)
        headers = await asyncio.to_thread(media_calls.clip_headers, source)
        content = await self._run(call, content=file_pieces(source), headers=headers)
        return await asyncio.to_thread(written, path, content)


def file_blocks(path: Path, on_bytes: Told | None = None) -> Iterator[bytes]:
    """Yield a file's bytes, so that one of any size can be sent; tell how many were asked for so far."""
    sent = 0
    with path.open("rb") as file:
        while data := file.read(PIECE_BYTES):
            yield data
            sent += len(data)
            if on_bytes is not None:
                on_bytes(sent)


async def file_pieces(path: Path, on_bytes: Told | None = None) -> AsyncIterator[bytes]:
    """Yield what ``file_blocks`` yields; the file is read beside the loop."""
    blocks = file_blocks(path, on_bytes)
    while data := await asyncio.to_thread(next, blocks, b""):
        yield data

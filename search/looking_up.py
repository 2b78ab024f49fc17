"""What is known of frames that are named by their ids, such as those of an answer without anything else."""

from __future__ import annotations

from collections.abc import Sequence

from encoder.codes import code_from_hex
from hashreel.errors import TooLargeError
from hashreel.schemas import ClipOptions, ClipStretch, Frames, FramesRequest, Position, SearchRequest
from indexer.gallery import Gallery
from search.catalogue import Catalogue
from search.replies import frame_model

__all__ = ["LookingUp"]


class LookingUp(Catalogue):
    """Looks frames up."""

    def _catch_up(self, gallery: Gallery, request: SearchRequest | ClipOptions | FramesRequest) -> tuple[bool, bool]:
        raise NotImplementedError

    def look_up(self, request: FramesRequest) -> Frames:
        """Return what is known of frames, in the order in which they are asked for.

        Raises:
            BadInputError: If the code is not one of the collection's.
            TooLargeError: If there are more than one answer may have.
            NotFoundError: If there is no such collection.
            BehindError: If ``min_position`` is not reached in time.
        """
        if len(request.frames) > self._settings.max_top:
            raise TooLargeError(
                f"frames has {len(request.frames)} ids; this service looks up at most {self._settings.max_top} at once "
                "(max_top, HASHREEL_MAX_TOP): ask in parts"
            )
        gallery = self._gallery(request.collection)
        generation = gallery.generation
        code = None if request.code is None else code_from_hex(request.code, generation.bits)
        behind, stale = self._catch_up(gallery, request)
        found, position = gallery.find([int(frame) for frame in request.frames], code)
        frames = [frame_model(frame, generation, with_distance=code is not None) for frame in found]
        there = {frame.frame_id for frame in found}
        return Frames(
            frames=frames if stale else self.with_members(frames),
            missing=[frame for frame in request.frames if int(frame) not in there],
            bits=generation.bits,
            fingerprint=generation.fingerprint,
            position=Position(generation=generation.id, log_id=position.log_id),
            behind=behind,
            stale=stale,
        )

    def _named(self, stretches: Sequence[ClipStretch], gallery: Gallery) -> list[ClipStretch]:
        """Return stretches of which those in albums of pictures name the file in their middle."""
        found, _ = gallery.find([int(one.frame_id) for one in stretches])
        members = self.members_at([(frame.video, frame.time_ms) for frame in found])
        names = {str(frame.frame_id): member for frame, member in zip(found, members, strict=True)}
        return [one.model_copy(update={"member": names.get(one.frame_id)}) for one in stretches]

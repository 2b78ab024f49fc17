"""What users do with suppression lists, and how they act on queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from encoder.codes import Codes
from encoder.pictures import encode_jpeg, load_picture
from encoder.scaling import Image, scale_short_side
from hashreel.errors import BadInputError, FingerprintMismatchError
from hashreel.schemas import Query, SuppressionModel, SuppressionRequest, Suppressions
from indexer.columns import Columns, Filter
from indexer.gallery import Gallery
from indexer.index import Index
from indexer.ranges import intersect_ranges
from indexer.records import Generation
from search.catalogue import Catalogue
from search.query_pictures import query_picture
from search.suppression import Example, SuppressionLists

if TYPE_CHECKING:
    from encoder.model import Model
    from hashreel.settings import Settings
    from indexer.store import Store

__all__ = ["Suppressing"]

EXAMPLE_SIDE = 480


class Suppressing(Catalogue):
    """Keeps suppression lists and leaves what is on them out."""

    def __init__(self, store: Store, settings: Settings, load_model: Callable[[str], Model]) -> None:
        super().__init__(store, settings, load_model)
        self._lists = SuppressionLists(store, self._example_code)

    def suppress(self, request: SuppressionRequest) -> SuppressionModel:
        """Leave frames like a picture or an indexed frame out of a collection's answers.

        Raises:
            BadInputError: If the picture cannot be read, or the query is a code (which no other model could read).
            ConflictError: If the list is full.
        """
        gallery = self._built(request.collection)
        picture = encode_jpeg(self._example(self.fetched(request.query)), 95)
        example = self._lists.add(gallery.generation.collection, request.name, request.radius, picture)
        return self._suppression(gallery, example)

    def suppressions(self, collection: str | None = None) -> Suppressions:
        """Return what a collection leaves out, and how many frames that are."""
        gallery = self._built(collection)
        entries = self._lists.entries(gallery.generation.collection, fresh=True)
        return Suppressions(suppressions=[self._suppression(gallery, entry) for entry in entries])

    def unsuppress(self, suppression_id: str, collection: str | None = None) -> SuppressionModel:
        """Remove an entry; NotFoundError if there is none."""
        gallery = self._built(collection)
        name = gallery.generation.collection
        known = next((one for one in self.suppressions(collection).suppressions if one.id == suppression_id), None)
        removed = self._lists.remove(name, suppression_id)
        return known or _model(removed, name, 0)

    def _filter_without_suppressed(self, filter_: Filter | None, gallery: Gallery, include: bool) -> Filter | None:
        """Return a filter that also leaves suppressed frames out."""
        if include:
            return filter_
        ranges = self._lists.suppressed(gallery)
        return replace(filter_ or Filter(), without=ranges) if len(ranges) else filter_

    def _count_suppressed(self, filter_: Filter | None, gallery: Gallery) -> int:
        """Return how many frames pass a filter but for being suppressed."""
        if filter_ is None or filter_.without is None:
            return 0
        without, rest = filter_.without, replace(filter_, without=None)

        def count(_: Index, columns: Columns) -> int:
            allowed = columns.allowed(rest)
            return int(np.diff(without if allowed is None else intersect_ranges(allowed, without), axis=1).sum())

        return gallery.look(count)[0]

    def _example(self, query: Query) -> Image:
        if query.frame is not None:
            picture = load_picture(self.frame_png(int(query.frame)))
        elif query.image is not None:
            with self._decoding:
                picture = query_picture(query, self._settings.max_picture_pixels)
        else:
            raise BadInputError("an example for suppression is a picture or an indexed frame")
        return picture if min(picture.shape[:2]) <= EXAMPLE_SIDE else scale_short_side(picture, EXAMPLE_SIDE)

    def _example_code(self, picture: bytes, generation: Generation) -> Codes:
        model = self._model(generation.model)
        if model.fingerprint != generation.fingerprint:
            raise FingerprintMismatchError(f"model {model.name} is not the one that made generation {generation.id}")
        code: Codes = model.encode([scale_short_side(load_picture(picture), model.transform.size)])[0]
        return code

    def _suppression(self, gallery: Gallery, example: Example) -> SuppressionModel:
        return _model(example, gallery.generation.collection, self._lists.matching(gallery, example))


def _model(example: Example, collection: str, frames: int) -> SuppressionModel:
    return SuppressionModel(
        id=example.id,
        name=example.name,
        collection=collection,
        radius=example.radius,
        created_at=example.created_at,
        frames=frames,
    )

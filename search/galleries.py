"""The galleries and models that a search process holds open."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import redis

from encoder.model_files import DEFAULT_MODEL
from hashreel.errors import UnavailableError
from hashreel.schemas import Query
from indexer.gallery import Gallery
from indexer.records import Generation
from indexer.snapshots import Snapshots
from search.picture_addresses import PictureAddresses
from search.picture_batches import PictureBatches

if TYPE_CHECKING:
    from encoder.model import Model
    from hashreel.settings import Settings
    from indexer.store import Store

__all__ = ["OPEN_WAIT_S", "Galleries", "facts_of", "reference_of"]

OPEN_WAIT_S = 30.0
PICTURES_AT_A_TIME = 2


class Galleries:
    """Opens galleries and models when they are first asked for, and keeps them.

    Args:
        store: The stored state.
        settings: Limits and defaults.
        load_model: Called with a model's name or folder.
    """

    def __init__(self, store: Store, settings: Settings, load_model: Callable[[str], Model]) -> None:
        self._store = store
        self._settings = settings
        self._load_model = load_model
        self._models: dict[str, Model] = {}
        self._batches: dict[str, PictureBatches] = {}
        self._galleries: dict[str, Gallery] = {}
        # Which gallery answered for a collection last, for when Redis cannot say.
        self._last: dict[str, Gallery] = {}
        self._opening = threading.Lock()
        self._encoding = threading.Lock()
        self._decoding = threading.BoundedSemaphore(PICTURES_AT_A_TIME)
        self._addresses = PictureAddresses(settings)

    def open(self) -> None:
        """Make the default collection if it is missing, load its model, and start following its log.

        Raises:
            FingerprintMismatchError: If the collection was made by another model than the settings name.
        """
        name = self._settings.collection
        live = self._store.collections().get(name)
        wanted = reference_of(self._settings.model or (live.model if live else DEFAULT_MODEL))
        model = self._model(wanted)
        self._store.ensure_collection(name, model=wanted, **facts_of(model))
        # The first forward pass sets the network up, which takes a while; better now than in somebody's search.
        model.encode([np.zeros((model.transform.size, model.transform.size, 3), np.uint8)])
        self._gallery(name)

    def close(self) -> None:
        """Stop following the logs."""
        for gallery in self._galleries.values():
            gallery.close()

    def _gallery(self, name: str | None) -> Gallery:
        """Return the gallery of a collection's live generation, built or not; None is the default collection."""
        name = name or self._settings.collection
        last = self._last.get(name)
        # Answers go on while Redis is down, from the galleries that are open.
        if last is not None and last.is_cut_off:
            return last
        try:
            generation = self._store.collection(name)
        except redis.RedisError as exc:
            if last is not None:
                return last
            raise UnavailableError(f"Redis does not answer: {exc}") from exc
        self._last[name] = gallery = self._open_gallery(generation)
        return gallery

    def _open_gallery(self, generation: Generation) -> Gallery:
        with self._opening:
            gallery = self._galleries.get(generation.id)
            if gallery is not None and gallery.generation != generation:
                # A restored Redis may give the same number to the generation of another model.
                gallery.close()
                gallery = None
            if gallery is None:
                gallery = self._made_gallery(generation)
                gallery.start()
                self._galleries[generation.id] = gallery
        return gallery

    def _made_gallery(self, generation: Generation) -> Gallery:
        settings, kind = self._settings, self._settings.index
        if kind == "milvus":
            from indexer.milvus.gallery import MilvusGallery, MilvusOptions

            names = (settings.milvus_uri, settings.milvus_token, settings.milvus_prefix)
            return MilvusGallery(self._store, generation, MilvusOptions(*names, lease_s=settings.milvus_lease_s))
        snapshots = Snapshots(settings.data / "snapshots", generation, kind=kind)
        return Gallery(self._store, generation, kind=kind, snapshots=snapshots, snapshot_s=settings.snapshot_s)

    def _drop_gallery(self, generation: str) -> None:
        with self._opening:
            gallery = self._galleries.pop(generation, None)
        if gallery is not None:
            gallery.discard()

    def _built(self, collection: str | None) -> Gallery:
        gallery = self._gallery(collection)
        self._wait_until_built(gallery)
        return gallery

    def _wait_until_built(self, gallery: Gallery) -> None:
        with suppress(redis.RedisError):
            gallery.catch_up(OPEN_WAIT_S)
        if not gallery.is_ready:
            raise UnavailableError("the gallery is still being built; see /readyz")

    def _model(self, name: str) -> Model:
        with self._encoding:
            if name not in self._models:
                self._models[name] = self._load_model(name)
            return self._models[name]

    def fetched(self, query: Query) -> Query:
        """Return a query with the picture that is at its address, if it names one; errors as of ``fetch``."""
        return self._addresses.fetched(query)

    def _batches_of(self, generation: Generation, model: Model) -> PictureBatches:
        """Return what all query pictures for a model go through."""
        with self._encoding:
            return self._batches.setdefault(generation.model, PictureBatches(model.outputs))


def reference_of(model: str) -> str:
    """Return how a model is named in the records: a folder by its whole path, so that every process finds it."""
    return str(Path(model).absolute()) if Path(model).is_dir() else model


def facts_of(model: Model) -> dict[str, Any]:
    """Return what a generation keeps of its model."""
    return {"fingerprint": model.fingerprint, "bits": model.bits, "concepts": model.concepts}

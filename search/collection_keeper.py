"""Collections and their generations."""

from __future__ import annotations

from encoder.model_files import DEFAULT_MODEL
from hashreel.errors import ConflictError, NotFoundError
from hashreel.schemas import Collection, Collections, GenerationModel, Position
from indexer.generations import Generations
from search.galleries import Galleries, facts_of, reference_of

__all__ = ["CollectionKeeper"]


class CollectionKeeper(Galleries):
    """Makes, changes and drops collections."""

    def collections(self) -> Collections:
        """Return all collections and their generations."""
        return Collections(collections=[self._collection(name) for name in self._store.collections()])

    def collection(self, name: str) -> Collection:
        """Return one collection; NotFoundError if there is none of that name."""
        self._store.collection(name)
        return self._collection(name)

    def _collection(self, name: str) -> Collection:
        live = self._store.collection(name)
        gallery = self._open_gallery(live)
        log_id = gallery.position.log_id if gallery.position else "0-0"
        return Collection(
            name=name,
            generation=live.id,
            model=live.model,
            fingerprint=live.fingerprint,
            bits=live.bits,
            concepts=list(live.concepts),
            frames=len(gallery),
            videos=self._store.count_videos(live.id),
            position=Position(generation=live.id, log_id=log_id),
            generations=[
                GenerationModel(
                    id=generation.id,
                    model=generation.model,
                    fingerprint=generation.fingerprint,
                    bits=generation.bits,
                    videos=self._store.count_videos(generation.id),
                    is_live=generation.id == live.id,
                )
                for generation in Generations(self._store).of(name) or [live]
            ],
        )

    def create_collection(self, name: str, model_name: str | None) -> Collection:
        """Make an empty collection; ConflictError if there is one of that name."""
        if name in self._store.collections():
            raise ConflictError(f"there is a collection {name!r} already; choose another name, or re-encode it")
        reference = reference_of(model_name or DEFAULT_MODEL)
        model = self._model(reference)
        self._store.ensure_collection(name, model=reference, **facts_of(model))
        return self._collection(name)

    def create_generation(self, name: str, model_name: str) -> str:
        """Make a new generation of a collection for a model, beside the live one; return its number.

        One that was begun for that very model and is not live yet is gone on with.

        Raises:
            ConflictError: If the live generation is of that very model.
        """
        live = self._store.collection(name)
        reference = reference_of(model_name)
        model = self._model(reference)
        if model.fingerprint == live.fingerprint:
            raise ConflictError(f"collection {name!r} holds codes of {model.name} ({model.fingerprint[:12]}) already")
        for begun in reversed(Generations(self._store).of(name)):
            if int(begun.id) > int(live.id) and begun.fingerprint == model.fingerprint:
                return begun.id
        fresh = self._store.create_generation(name, model=reference, **facts_of(model))
        return fresh.id

    def cut_over(self, name: str, generation: str, *, anyway: bool = False) -> Collection:
        """Let a collection point at another of its generations; its gallery is built first, so no answer waits.

        Raises:
            ConflictError: If that one lacks sources of the live one and this is not to be done ``anyway``.
        """
        record, live = self._store.generation(generation), self._store.collection(name)
        lacking, sources = Generations(self._store).count_lacking(live.id, generation)
        if lacking and not anyway and record.collection == name:
            raise ConflictError(
                f"generation {generation} lacks {lacking} of {sources} sources of the live one. Wait for its job, see "
                f"`hashreel failures`, let `hashreel collections reencode {name}` take in what came since, or cut over "
                "anyway (--anyway)"
            )
        self._wait_until_built(self._open_gallery(record))
        Generations(self._store).cut_over(name, generation)
        return self._collection(name)

    def roll_back(self, name: str) -> Collection:
        """Let a collection point at the generation before the last cut-over."""
        Generations(self._store).roll_back(name)
        return self._collection(name)

    def drop_generation(self, name: str, generation: str) -> int:
        """Remove a generation that is not live; return how many videos it had."""
        if self._store.generation(generation).collection != name:
            raise NotFoundError(f"collection {name!r} has no generation {generation}")
        dropped = Generations(self._store).drop(generation)
        self._drop_gallery(generation)
        return dropped

    def drop_collection(self, name: str) -> int:
        """Remove a collection with all of its generations; return how many videos it had."""
        if name == self._settings.collection:
            raise ConflictError(f"{name!r} is this service's own collection; it cannot be dropped while it is served")
        numbers = [generation.id for generation in Generations(self._store).of(name)]
        dropped = Generations(self._store).drop_collection(name)
        keys = self._store.keys
        self._store.redis.delete(keys.suppressions(name), keys.suppression_pictures(name))
        for number in numbers:
            self._drop_gallery(number)
        return dropped

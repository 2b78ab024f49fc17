"""The methods: what each learns from, how it makes codes, and the settings that its tuning may try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from benchmarks.methods.protocol import MAIN_LENGTH

__all__ = ["ALL_LENGTHS", "METHODS", "FeatureKind", "Method", "method_names"]

ALL_LENGTHS = (16, 32, 48, 64, 128)
RATES = (0.03, 0.1, 0.3)

Options = Mapping[str, Any]
FeatureKind = Literal["pooled", "psp", "psp+pooled"]


@dataclass(frozen=True)
class Method:
    """A method of the table.

    Attributes:
        name: on the command line and in file names.
        title: in the table, with the year of its publication.
        kind: "hasher" (``encoder.hashers``) or "head" (trained by ``encoder.training`` on stored features).
        part: the hasher, or the loss.
        learns_from: for the reader.
        features: the trunk's pooled ones, the means of a PSP stack trained on masks, or both.
        lengths: the code lengths that it is run at.
        settings: what tuning tries, each a set of options.
    """

    name: str
    title: str
    kind: Literal["hasher", "head"]
    part: str
    learns_from: str
    features: FeatureKind
    lengths: tuple[int, ...]
    settings: tuple[Options, ...]


def _grid(choices: Mapping[str, tuple[Any, ...]]) -> tuple[Options, ...]:
    """Return every combination of the choices."""
    return tuple(dict(zip(choices, values, strict=True)) for values in product(*choices.values()))


def _hasher(name: str, title: str, learns_from: str = "pictures", **choices: tuple[Any, ...]) -> Method:
    lengths = ALL_LENGTHS if name in ("lsh", "itq") else (MAIN_LENGTH,)
    settings = _grid({"normalise": (True, False), **choices})
    return Method(name, title, "hasher", name, learns_from, "pooled", lengths, settings)


def _head(name: str, title: str, loss: str, *, features: FeatureKind = "pooled", **choices: tuple[Any, ...]) -> Method:
    lengths = ALL_LENGTHS if name in ("lin2015", "ssdh", "orthohash") else (MAIN_LENGTH,)
    learns_from = "labels" if features == "pooled" else "labels, masks of other pictures"
    return Method(name, title, "head", loss, learns_from, features, lengths, _grid({"rate": RATES, **choices}))


METHODS: tuple[Method, ...] = (
    _hasher("lsh", "LSH (2002)", "nothing", centre=(True, False)),
    _hasher("pca", "PCA sign"),
    _hasher("sh", "Spectral Hashing (2008)"),
    _hasher("bre", "BRE (2009)"),
    _hasher("itq", "ITQ (2013)"),
    _hasher("isohash", "IsoHash (2012)"),
    _hasher("cnnh", "CNNH (2014)", "labels"),
    _head("dpsh", "DPSH (2015)", "dpsh", eta=(0.01, 0.1)),
    _head("dtsh", "DTSH (2016)", "dtsh", alpha=(5.0, 12.0)),
    _head("dsh", "DSH (2016)", "dsh", alpha=(0.01, 0.5)),
    _head("lin2015", "Lin et al. (2015)", "classification", dropout=(0.0, 0.5)),
    _head("ssdh", "SSDH (2017)", "ssdh", alpha=(0.1, 1.0)),
    _head("orthohash", "OrthoHash (2021)", "orthohash", margin=(0.0, 0.2)),
    _head("paper", "Gkountakos et al. (2018)", "classification", features="psp", dropout=(0.0, 0.5)),
    _head("paper+", "the same, with pooled features", "classification", features="psp+pooled", dropout=(0.0, 0.5)),
)


def method_names() -> list[str]:
    """Return the names that the command accepts, in the order of the catalogue."""
    return [method.name for method in METHODS]

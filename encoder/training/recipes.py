"""Recipes: every setting of a training in one TOML file; nothing is hidden in code."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from hashreel.errors import BadInputError, NotFoundError

__all__ = ["Freeze", "HashSettings", "NetworkSettings", "Recipe", "SegmentationSettings", "load_recipe", "recipe_names"]

FOLDER = Path(__file__).parent.parent / "recipes"
Freeze = Literal["none", "trunk", "features"]


@dataclass(frozen=True)
class NetworkSettings:
    """The network. ``kind`` "psp" is the paper's, "baseline" the image-level one."""

    kind: Literal["psp", "baseline"]
    trunk: str
    size: int
    input: str
    hidden: tuple[int, ...]
    output_stride: int | None = None
    bits: int = 48
    fuse_channels: int = 512
    with_trunk: bool = False
    dropout: float = 0.5
    centre: bool = False
    standardise: bool = False
    pretrained: bool = True


@dataclass(frozen=True)
class Schedule:
    """How both phases descend: SGD with momentum, the rate multiplied by ``drop`` after epoch ``drop_epoch``."""

    epochs: int = 30
    batch: int = 32
    rate: float = 1e-3
    drop_epoch: int = 20
    drop: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    trunk_factor: float = 0.1
    micro_batch: int = 0

    def rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch counted from 0."""
        return self.rate * (self.drop if epoch >= self.drop_epoch else 1.0)


@dataclass(frozen=True)
class SegmentationSettings(Schedule):
    """The segmentation phase. ``freeze`` "trunk" trains the PSP module on stored maps."""

    freeze: Literal["none", "trunk"] = "none"
    augment: bool = False
    class_weights: bool = False


@dataclass(frozen=True)
class HashSettings(Schedule):
    """The hash phase.

    ``freeze``: "none" trains everything (the trunk at ``trunk_factor`` of the rate, its BN statistics fixed);
    "trunk" trains on stored maps; "features" trains the head alone on its stored inputs.
    """

    batch: int = 96
    loss: str = "classification"
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    freeze: Freeze = "none"
    flip: bool = False
    segmentation_weight: float = 0.0
    class_rate_factor: float = 1.0
    held_out: int = 1000


@dataclass(frozen=True)
class Recipe:
    """All settings of a training."""

    name: str
    about: str
    network: NetworkSettings
    hash: HashSettings
    segmentation: SegmentationSettings | None = None
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values, for checkpoints and model files."""
        return asdict(self)


def recipe_names() -> list[str]:
    """Return the recipes that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(name_or_path: str | os.PathLike[str]) -> Recipe:
    """Return a recipe by its name or from a TOML file.

    Raises:
        NotFoundError: If there is no such recipe or file.
        BadInputError: If the file is not TOML, lacks a setting, or has one that does not exist.
    """
    text = os.fspath(name_or_path)
    shipped = FOLDER / f"{text}.toml"
    path = shipped if shipped.is_file() else Path(text)
    if not path.is_file():
        raise NotFoundError(f"there is no recipe {text!r}; accepted: {', '.join(recipe_names())}, or a TOML file")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInputError(f"{path} is not TOML: {exc}") from exc
    try:
        return _parse(path.stem, document)
    except BadInputError as exc:
        raise BadInputError(f"{path}: {exc}") from exc


def _parse(name: str, document: dict[str, Any]) -> Recipe:
    allowed = {"about", "seed", "network", "segmentation", "hash"}
    unknown = set(document) - allowed
    if unknown:
        raise BadInputError(f"unknown settings {sorted(unknown)}; accepted: {', '.join(sorted(allowed))}")
    network = _section(NetworkSettings, "network", document.get("network", {}))
    segmentation = document.get("segmentation")
    recipe = Recipe(
        name=name,
        about=str(document.get("about", "")),
        network=network,
        hash=_section(HashSettings, "hash", document.get("hash", {})),
        segmentation=None if segmentation is None else _section(SegmentationSettings, "segmentation", segmentation),
        seed=int(document.get("seed", 0)),
    )
    if (network.kind == "psp") != (recipe.segmentation is not None):
        raise BadInputError("network.kind 'psp' needs a [segmentation] section, 'baseline' has none")
    return recipe


def _section(kind: type[Any], name: str, values: dict[str, Any]) -> Any:
    known = {item.name for item in fields(kind)}
    unknown = set(values) - known
    if unknown:
        raise BadInputError(f"[{name}] has unknown settings {sorted(unknown)}; accepted: {', '.join(sorted(known))}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        section = kind(**values)
    except TypeError as exc:
        raise BadInputError(f"[{name}] is incomplete: {exc}") from exc
    _check_ranges(name, section)
    return section


def _check_ranges(name: str, section: Any) -> None:
    freeze = getattr(section, "freeze", "none")
    if freeze not in get_args(Freeze):
        raise BadInputError(f"[{name}] freeze is {freeze!r}; accepted: {', '.join(get_args(Freeze))}")
    for key in ("epochs", "batch", "rate", "size"):
        value = getattr(section, key, 1)
        if value <= 0:
            raise BadInputError(f"[{name}] {key} is {value}; expected more than 0")

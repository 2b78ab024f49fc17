"""Model files: a directory of ``weights.safetensors``, ``model.json`` and a model card, ``README.md``.

Names resolve to the models that ship with the package; anything with a ``model.json`` in it is a path.
Weights of a trunk that comes with an installed package stay there: the file then holds only what stands on
the trunk, while the fingerprint covers both. No pickle is read or written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoder.codes import check_bits
from hashreel.errors import ModelFileError, NotFoundError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "DEFAULT_MODEL",
    "FORMAT_VERSION",
    "Manifest",
    "read_manifest",
    "read_tensors",
    "resolve_model",
    "shipped_models",
    "write_model_files",
]

FORMAT_VERSION = 1
DEFAULT_MODEL = "itq48-lite0"
SHIPPED = Path(__file__).parent / "models"
MANIFEST_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "README.md"


@dataclass(frozen=True)
class Manifest:
    """The contents of ``model.json``.

    Attributes:
        name: for people; it does not enter the fingerprint.
        architecture: ``{"kind": ..., ...}`` for ``encoder.networks.create_network``.
        trunk: ``{"name", "output_stride", "weights"}``; weights is "package" (the pretrained ones that
            ``create_trunk`` loads) or "file" (in weights.safetensors, under ``trunk.``).
        bits: L, code length.
        transform: ``{"kind", "size"}`` of ``encoder.transforms.Transform``.
        concepts: names of the segmentation's classes in order, empty if the network does not segment.
        licence: SPDX name of the licence of the weights.
        data: what it was trained or fitted on, one ``{"name", "use", "licence"}`` each.
        training: how: command, seed, settings, figures.
        fingerprint: SHA-256 hex over everything that determines codes.
        format: version of this layout.
    """

    name: str
    architecture: Mapping[str, Any]
    trunk: Mapping[str, Any]
    bits: int
    transform: Mapping[str, Any]
    concepts: tuple[str, ...] = ()
    licence: str = "Apache-2.0"
    data: tuple[Mapping[str, str], ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    format: int = FORMAT_VERSION

    def codes_config(self) -> dict[str, Any]:
        """Return what determines codes besides the tensors; it enters the fingerprint."""
        return {
            "format": self.format,
            "architecture": dict(self.architecture),
            "trunk": {key: self.trunk[key] for key in ("name", "output_stride")},
            "bits": self.bits,
            "transform": dict(self.transform),
            "concepts": list(self.concepts),
        }


def shipped_models() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST_FILE}"))


def resolve_model(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the directory of a model.

    Args:
        name_or_path: a shipped model's name, ``default``, or a directory.

    Raises:
        NotFoundError: If it is neither.
    """
    text = os.fspath(name_or_path)
    name = DEFAULT_MODEL if text == "default" else text
    for candidate in (SHIPPED / name, Path(text)):
        if (candidate / MANIFEST_FILE).is_file():
            return candidate
    raise NotFoundError(
        f"there is no model {text!r}; accepted: default, {', '.join(shipped_models())}, "
        f"or a directory with {MANIFEST_FILE} in it"
    )


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest in ``directory``.

    Raises:
        ModelFileError: If it is not JSON, lacks a field, has an unknown one, or is of another format version.
    """
    path = directory / MANIFEST_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        version = raw["format"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelFileError(f"{path} is not a model manifest: {exc!r}") from exc
    if version != FORMAT_VERSION:
        raise ModelFileError(f"{path} has format version {version!r}; this release reads {FORMAT_VERSION}")
    try:
        manifest = Manifest(**{**raw, "concepts": tuple(raw["concepts"]), "data": tuple(raw["data"])})
        check_bits(manifest.bits)
        manifest.codes_config()
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelFileError(f"{path} is not a complete model manifest: {exc}") from exc
    return manifest


def read_tensors(directory: Path) -> dict[str, Tensor]:
    """Return the tensors in ``directory``.

    Raises:
        ModelFileError: If the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = directory / WEIGHTS_FILE
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as exc:
        raise ModelFileError(f"{path} cannot be read: {exc}; copy the model directory anew") from exc
    return tensors


def write_model_files(directory: Path, manifest: Manifest, tensors: Mapping[str, Tensor], card: str) -> None:
    """Write a model directory; each file is written aside and renamed, the manifest last.

    Args:
        directory: is made if it does not exist; files of the same names in it are replaced.
        manifest: with its fingerprint.
        tensors: the network's tensors by name, without the trunk's if those stay in their package.
        card: the model card, Markdown.
    """
    from safetensors.torch import save

    directory.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    _replace(directory / WEIGHTS_FILE, save(contiguous))
    _replace(directory / CARD_FILE, card.encode())
    _replace(directory / MANIFEST_FILE, text.encode())


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)

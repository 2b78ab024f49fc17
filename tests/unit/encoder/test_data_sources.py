import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoder.data.cifar import read_cifar10
from encoder.data.folders import find_pictures, iter_pictures
from encoder.data.mosaics import mosaics
from encoder.pictures import load_picture
from hashreel.errors import BadInputError, NotFoundError


def write_pack(directory: Path, *, side: int = 32, labels: tuple[int, ...] = (0, 1, 1)) -> None:
    """Write a CIFAR-10 pack of plain pictures, number i of grey level 40 i."""
    files = []
    for i in range(len(labels)):
        buffer = io.BytesIO()
        Image.new("RGB", (side, side), (40 * i,) * 3).save(buffer, "PNG")
        files.append(buffer.getvalue())
    offsets = np.cumsum([0, *map(len, files)])
    blob = np.frombuffer(b"".join(files), np.uint8)
    np.savez(
        directory / "cifar10_train.npz", jpeg=blob, offsets=offsets, labels=np.array(labels), classes=["cat", "dog"]
    )


def test_cifar_pack_is_read_in_order(tmp_path: Path) -> None:
    write_pack(tmp_path)
    data = read_cifar10(tmp_path, "train")
    assert data.images.shape == (3, 32, 32, 3)
    assert data.images[:, 0, 0, 0].tolist() == [0, 40, 80]
    assert data.labels.tolist() == [0, 1, 1]
    assert data.classes == ("cat", "dog")
    assert len(read_cifar10(tmp_path, "train", limit=2)) == 2


def test_bad_cifar_packs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"cifar10_train\.npz"):
        read_cifar10(tmp_path, "train")
    write_pack(tmp_path, side=16)
    with pytest.raises(BadInputError, match="picture 0"):
        read_cifar10(tmp_path, "train")
    write_pack(tmp_path, labels=(0, 2))
    with pytest.raises(BadInputError, match="labels"):
        read_cifar10(tmp_path, "train")
    np.savez(tmp_path / "cifar10_train.npz", labels=[0])
    with pytest.raises(BadInputError, match="lacks"):
        read_cifar10(tmp_path, "train")


def test_real_cifar_pack(shared: Path) -> None:
    data = read_cifar10(shared / "cifar10", "test", limit=50)
    assert data.images.shape == (50, 32, 32, 3)
    assert len(data.classes) == 10


def test_pictures_are_found_in_order_and_at_any_depth(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.JPG", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no picture")
        else:
            Image.new("RGB", (5, 4), (1, 2, 3)).save(path)
    assert [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)] == ["a/c.JPG", "b.png"]
    assert [image.shape for image in iter_pictures(tmp_path)] == [(4, 5, 3), (4, 5, 3)]


def test_bad_pictures_are_refused_with_their_name(tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8torn")
    with pytest.raises(BadInputError, match=r"torn\.jpg"):
        load_picture(tmp_path / "torn.jpg")
    with pytest.raises(BadInputError, match="no picture"):
        find_pictures(_empty(tmp_path))
    with pytest.raises(NotFoundError):
        find_pictures(tmp_path / "nowhere")


def _empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 2))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert load_picture(tmp_path / "turned.jpg").shape == (6, 2, 3)


def test_mosaics_are_grids_of_whole_pictures() -> None:
    plain = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (10, 200)])
    (mosaic,) = mosaics(plain, 1, tiles=3, size=100, seed=1)
    assert mosaic.shape == (100, 100, 3)
    assert set(np.unique(mosaic)) <= {10, 200}
    for row in range(3):
        for column in range(3):
            tile = mosaic[[0, 33, 67][row] : [33, 67, 100][row], [0, 33, 67][column] : [33, 67, 100][column]]
            assert len(np.unique(tile)) == 1


def test_mosaics_repeat_with_their_seed_and_refuse_nonsense() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    first, second = (np.stack(list(mosaics(images, 3, tiles=2, size=32, seed=4))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    with pytest.raises(BadInputError):
        next(mosaics(images[:0], 1, tiles=2, size=32, seed=0))

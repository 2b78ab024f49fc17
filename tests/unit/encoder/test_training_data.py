from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoder.data.cifar import LabelledImages
from encoder.data.collages import collages
from encoder.data.labels import read_class_folders, read_label_csv
from encoder.data.masks import read_voc_masks
from encoder.data.pairs import augment_pair, centre_pair
from encoder.data.sets import PictureSet, single_label_targets
from hashreel.errors import BadInputError, NotFoundError


def write_voc(root: Path, mask: np.ndarray, size: tuple[int, int] = (6, 4), mode: str = "P") -> Path:
    """Write a kit of one picture and return its mask's path."""
    kit = root / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (kit / folder).mkdir(parents=True, exist_ok=True)
    (kit / "ImageSets" / "Segmentation" / "train.txt").write_text("one\n")
    Image.new("RGB", size, (10, 20, 30)).save(kit / "JPEGImages" / "one.jpg")
    image = Image.fromarray(mask.astype(np.uint8))
    if mode == "P":
        image.putpalette([i // 3 * 7 % 256 for i in range(768)])
    path = kit / "SegmentationClass" / "one.png"
    (image if mode in ("P", "L") else image.convert(mode)).save(path)
    return path


def test_voc_masks_are_indexes_not_colours(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 20, 255, 5, 5]] * 4)
    write_voc(tmp_path, mask)
    data = read_voc_masks(tmp_path, "train")
    image, read = data.read(0)
    assert len(data) == 1
    assert image.shape == (4, 6, 3)
    np.testing.assert_array_equal(read, mask)
    assert data.classes[20] == "tvmonitor"


def test_bad_voc_kits_are_refused_before_training_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"train\.txt"):
        read_voc_masks(tmp_path, "train")
    path = write_voc(tmp_path, np.full((4, 6), 21))
    with pytest.raises(BadInputError, match=r"one\.png holds the values \[21\]"):
        read_voc_masks(tmp_path, "train")
    write_voc(tmp_path, np.zeros((3, 6)))
    with pytest.raises(BadInputError, match="6 × 3"):
        read_voc_masks(tmp_path, "train")
    write_voc(tmp_path, np.zeros((4, 6)), mode="RGB")
    with pytest.raises(BadInputError, match="mode RGB"):
        read_voc_masks(tmp_path, "train")
    path.write_bytes(b"torn")
    with pytest.raises(BadInputError, match=r"one\.png"):
        read_voc_masks(tmp_path, "train")
    path.unlink()
    with pytest.raises(NotFoundError, match=r"one\.png is missing"):
        read_voc_masks(tmp_path, "train")


def test_real_voc_and_road_kits_are_read(shared: Path) -> None:
    voc = read_voc_masks(shared / "voc2012_sample", "trainval" if _has(shared, "trainval") else "train")
    values = np.unique(np.concatenate([voc.read(i)[1].ravel() for i in range(len(voc))]))
    assert set(values.tolist()) - {255} <= set(range(21))
    names = (shared / "camvid_seg" / "classes.txt").read_text().splitlines()
    roads = read_voc_masks(shared / "camvid_seg", "val", classes=[line.split()[1] for line in names[:11]])
    assert (len(roads), roads.classes[3]) == (101, "road")


def _has(shared: Path, split: str) -> bool:
    kit = shared / "voc2012_sample" / "VOCdevkit" / "VOC2012"
    return (kit / "ImageSets" / "Segmentation" / f"{split}.txt").is_file()


def test_class_folders(tmp_path: Path) -> None:
    for name in ("sea/a.png", "sea/deep/b.png", "street/c.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 3)).save(path)
    data = read_class_folders(tmp_path)
    assert data.classes == ("sea", "street")
    assert data.targets.tolist() == [[1, 0], [1, 0], [0, 1]]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="empty holds no picture"):
        read_class_folders(tmp_path)
    Image.new("RGB", (3, 3)).save(tmp_path / "stray.png")
    with pytest.raises(BadInputError, match=r"stray\.png"):
        read_class_folders(tmp_path)


def test_label_csv(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (3, 3)).save(tmp_path / name)
    file = tmp_path / "labels.csv"
    file.write_text("path,labels\na.png,sky tree\nb.png,\n")
    data = read_label_csv(file)
    assert data.classes == ("sky", "tree")
    assert data.targets.tolist() == [[1, 1], [0, 0]]
    assert data.read(1).shape == (3, 3, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,labels\na.png,x\n", "lacks the columns"),
        ("path,labels\n", "no picture"),
        ("path,labels\na.png,x\na.png,y\n", "line 3"),
        ("path,labels\nmissing.png,x\n", "line 2"),
        ("path,labels\na.png,wrong\n", "unknown label 'wrong'"),
    ],
)
def test_bad_label_files_are_refused_with_file_and_line(text: str, says: str, tmp_path: Path) -> None:
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises((BadInputError, NotFoundError), match=says) as caught:
        read_label_csv(tmp_path / "labels.csv", classes=("x", "y"))
    assert "labels.csv" in str(caught.value)


def test_labels_out_of_range_and_targets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInputError, match="labels go from"):
        single_label_targets(np.array([0, 3]), 3)
    with pytest.raises(BadInputError, match="do not fit"):
        PictureSet("x", lambda i: np.zeros((1, 1, 3), np.uint8), np.zeros((2, 3), np.float32), ("a",))


def test_split_keeps_every_picture_once() -> None:
    data = PictureSet(
        "x", lambda i: np.full((1, 1, 3), i, np.uint8), np.eye(20, dtype=np.float32), tuple("abcdefghijklmnopqrst")
    )
    train, held_out = data.split(5, seed=0)
    seen = [int(part.read(i)[0, 0, 0]) for part in (train, held_out) for i in range(len(part))]
    assert sorted(seen) == list(range(20))
    for part in (train, held_out):
        assert all(part.targets[i].argmax() == part.read(i)[0, 0, 0] for i in range(len(part)))
    with pytest.raises(BadInputError, match="held out"):
        data.split(20, seed=0)


def marked_pair() -> tuple[np.ndarray, np.ndarray]:
    """Return a picture whose red channel tells its mask."""
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 20:45] = 1
    mask[10:30, 30:40] = 2
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 0] = mask * 100
    return image, mask


def test_centre_pair_cuts_both_alike() -> None:
    image, mask = centre_pair(*marked_pair(), 40)
    np.testing.assert_array_equal(image[..., 0], mask * 100)
    with pytest.raises(BadInputError, match="differ"):
        centre_pair(np.zeros((3, 4, 3), np.uint8), np.zeros((3, 3), np.uint8), 8)


def test_augmentation_moves_both_alike() -> None:
    image, mask = marked_pair()
    shapes = set()
    for seed in range(30):
        view, view_mask = augment_pair(image, mask, 32, np.random.default_rng(seed))
        assert view.shape == (32, 32, 3)
        valid = view_mask != 255
        near = np.abs(view[..., 0].astype(int) - view_mask * 100.0)[valid] <= 10
        assert near.mean() > 0.75  # edges are blurred by scaling
        assert (view[~valid] == 128).all()
        shapes.add(int(valid.sum()))
    assert len(shapes) > 3  # some views are smaller than the window
    first, second = (augment_pair(image, mask, 32, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])


def test_collages_are_masked_exactly() -> None:
    plain = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (255, 0)])
    scenes = collages(LabelledImages(plain, np.array([0, 1]), ("white", "black")), 24, size=64, seed=0)
    assert scenes.classes == ("background", "white", "black")
    for number in range(24):
        image, mask = scenes.read(number)
        assert (image[mask == 1] == 255).all()
        assert (image[mask == 2] == 0).all()
        np.testing.assert_array_equal(image, scenes.read(number)[0])
    covered = [float((scenes.read(i)[1] > 0).mean()) for i in range(24)]
    assert min(covered) < 0.7
    assert max(covered) == 1

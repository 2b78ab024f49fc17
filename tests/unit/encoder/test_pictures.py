from __future__ import annotations

import io
import struct
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image as PilImage

from encoder.pictures import (
    crop_box,
    crop_square,
    encode_jpeg,
    iter_picture_folder,
    load_picture,
    picture_names,
    scale_short_side,
)
from encoder.video import Every, grab_frame, iter_key_frames
from hashreel.errors import BadInputError, DecodeError, NotFoundError, TooLargeError

RNG = np.random.default_rng(2)
PICTURE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def file_bytes(picture, kind="PNG", **options):
    if isinstance(picture, np.ndarray):
        picture = PilImage.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA", "WEBP"])
def test_a_lossless_picture_comes_back_as_it_was(kind, tmp_path):
    content = file_bytes(PICTURE, kind, **({"lossless": True} if kind == "WEBP" else {}))
    path = tmp_path / f"bild ä 画.{kind.lower()}"
    path.write_bytes(content)
    for source in (content, bytearray(content), path, str(path), PilImage.open(io.BytesIO(content)), PICTURE):
        image = load_picture(source)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert np.array_equal(image, PICTURE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_the_camera_is_applied(orientation):
    ways = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = PilImage.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(ways[orientation](PICTURE))
    assert np.array_equal(load_picture(file_bytes(stored, exif=exif.tobytes())), PICTURE)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_orientation_leaves_the_picture():
    content = file_bytes(PICTURE, "JPEG", quality=95, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert load_picture(content).shape == (20, 30, 3)


def test_grey_palette_and_two_level_pictures_become_rgb():
    grey = PilImage.fromarray(PICTURE[..., 0])
    expected = np.repeat(PICTURE[..., :1], 3, axis=2)
    assert np.array_equal(load_picture(file_bytes(grey)), expected)
    assert np.array_equal(load_picture(PICTURE[..., 0]), expected)
    assert np.array_equal(load_picture(PICTURE[..., :1]), expected)
    palette = PilImage.fromarray(PICTURE).quantize(16)
    assert np.array_equal(load_picture(file_bytes(palette)), np.array(palette.convert("RGB")))
    assert set(np.unique(load_picture(file_bytes(grey.convert("1"))))) == {0, 255}


def test_transparent_parts_are_put_on_white():
    rgba = np.dstack([PICTURE, np.full((20, 30), 255, np.uint8)])
    rgba[:10, :, 3] = 0
    expected = PICTURE.copy()
    expected[:10] = 255
    for source in (rgba, file_bytes(rgba), file_bytes(rgba, "WEBP", lossless=True, exact=True)):
        assert np.array_equal(load_picture(source), expected)
    flat = PilImage.fromarray(np.repeat(np.uint8([[0], [1]]), 8, axis=1), mode=None).convert("P")
    flat.putpalette([10, 20, 30, 200, 100, 50])
    image = load_picture(file_bytes(flat, transparency=0))
    assert np.array_equal(image[:, 0], [[255, 255, 255], [200, 100, 50]])
    grey_alpha = PilImage.fromarray(np.dstack([PICTURE[..., 0], rgba[..., 3]]), "LA")
    assert (load_picture(file_bytes(grey_alpha))[:10] == 255).all()


def test_sixteen_bits_are_scaled_down_not_cut():
    deep = (PICTURE[..., 0].astype(np.uint16) * 257)[..., None]
    expected = np.repeat(PICTURE[..., :1], 3, axis=2)
    assert np.array_equal(load_picture(deep), expected)
    assert np.array_equal(load_picture(file_bytes(PilImage.fromarray(deep[..., 0]))), expected)
    assert np.array_equal(load_picture(file_bytes(PilImage.fromarray(deep[..., 0]), "TIFF")), expected)
    assert np.array_equal(load_picture(PICTURE.astype(np.uint16) * 257), PICTURE)


def test_cmyk_becomes_rgb():
    smooth = np.zeros((32, 32, 3), np.uint8)
    smooth[..., 0] = 250
    cmyk = PilImage.fromarray(smooth).convert("CMYK")
    for kind in ("JPEG", "TIFF"):
        assert np.abs(load_picture(file_bytes(cmyk, kind)).astype(int) - smooth).max() <= 8


def test_the_first_picture_of_an_animation_counts():
    frames = [PilImage.new("RGB", (8, 6), colour) for colour in ("red", "blue", "lime")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        image = load_picture(file_bytes(frames[0], kind, save_all=True, append_images=frames[1:], **options))
        assert (image == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_damaged_picture_is_an_error_wherever_it_is_cut(kind):
    content = file_bytes(PICTURE, kind)
    for length in range(1, len(content) - 2, max(1, len(content) // 40)):
        with suppress(DecodeError):
            assert load_picture(content[:length]).shape == (20, 30, 3)
    with pytest.raises(DecodeError, match=r"picture: (the picture is damaged|not a picture)"):
        load_picture(content[: len(content) // 2])


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_in_a_picture_never_end_in_another_error(seed):
    chance = np.random.default_rng(seed)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "TGA", "ICO", "JPEG2000", "AVIF"):
        content = np.frombuffer(file_bytes(PICTURE, kind), np.uint8).copy()
        places = chance.integers(0, len(content), 1 + seed)
        content[places] = chance.integers(0, 256, len(places))
        with suppress(DecodeError, TooLargeError):
            assert load_picture(content.tobytes()).ndim == 3


def test_what_is_no_picture_says_so(tmp_path, clip):
    with pytest.raises(DecodeError, match="picture: the file is empty"):
        load_picture(b"")
    with pytest.raises(DecodeError, match=r"not a picture of a known format \(AVIF, BMP"):
        load_picture(b"only text")
    with pytest.raises(DecodeError, match=r"clip\.mp4: not a picture"):
        load_picture(clip)
    with pytest.raises(DecodeError, match="not a picture"):
        load_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(NotFoundError, match=r"gone\.png: there is no such file"):
        load_picture(tmp_path / "gone.png")
    with pytest.raises(DecodeError, match="a folder or a device"):
        load_picture(tmp_path)


def test_pictures_with_too_many_pixels_are_refused_before_they_are_decoded():
    for source in (PICTURE, file_bytes(PICTURE), PilImage.fromarray(PICTURE)):
        assert load_picture(source, max_pixels=600).shape == (20, 30, 3)
        with pytest.raises(TooLargeError, match=r"30 × 20 pixels; the limit is 599"):
            load_picture(source, max_pixels=599)
    # An icon says that it is small, and holds a picture that is not: Pillow would decode that to find out.
    icon = (
        b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + struct.pack("<II", len(file_bytes(PICTURE)), 22) + file_bytes(PICTURE)
    )
    with pytest.raises(DecodeError, match="not a picture of a known format"):
        load_picture(icon, max_pixels=599)
    # 70,000 × 70,000 pixels in 100 bytes of header.
    bomb = bytearray(file_bytes(PilImage.new("1", (8, 8)), "BMP"))
    bomb[18:26] = (70_000).to_bytes(4, "little") * 2
    with pytest.raises(TooLargeError, match="80000000"):
        load_picture(bytes(bomb))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), bool),
        np.zeros((2, 4, 4, 3), np.uint8),
    ],
    ids=str,
)
def test_arrays_of_another_form_are_refused(array):
    with pytest.raises(BadInputError, match="expected uint8"):
        load_picture(array)


def test_floating_point_pictures_are_refused():
    with pytest.raises(DecodeError, match="floating point"):
        load_picture(file_bytes(PilImage.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))


def test_a_picture_cut_from_a_video_looks_like_the_frame(clip):
    for frame in iter_key_frames(clip, Every(1.0), short_side=64):
        picture = load_picture(file_bytes(grab_frame(clip, frame.time_ms).image))
        assert np.abs(scale_short_side(picture, 64).astype(int) - frame.image).mean() < 1.5


def test_a_box_gives_every_pixel_that_it_touches():
    assert np.array_equal(crop_box(PICTURE, (0, 0, 1, 1)), PICTURE)
    assert np.array_equal(crop_box(PICTURE, (0.5, 0.25, 0.1, 0.5)), PICTURE[5:15, 15:18])
    assert np.array_equal(crop_box(PICTURE, (0.51, 0.26, 0.1, 0.5)), PICTURE[5:16, 15:19])
    assert np.array_equal(crop_box(PICTURE, (0.7, 0.7, 0.3, 0.3)), PICTURE[14:, 21:])
    assert np.array_equal(crop_box(PICTURE, (0.999, 0.999, 0.001, 0.001)), PICTURE[19:, 29:])
    assert crop_box(PICTURE, (0.3, 0.3, 1e-9, 1e-9)).shape == (1, 1, 3)
    crop_box(PICTURE, (0, 0, 1, 1))[:] = 0
    assert PICTURE.any()


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 0, 1),
        (0, 0, 1, -1),
        (-0.1, 0, 0.5, 0.5),
        (0.5, 0, 0.6, 0.5),
        (0, 0.5, 0.5, 0.51),
        (0, 0, float("nan"), 1),
        (0, float("inf"), 1, 1),
        (0, 0, 1),
    ],
)
def test_a_box_outside_the_picture_or_without_area_is_refused(box):
    with pytest.raises(BadInputError, match="box is"):
        crop_box(PICTURE, box)


def test_jpeg_comes_back_nearly_as_it_was():
    smooth = np.broadcast_to(np.linspace(0, 255, 40, dtype=np.uint8)[:, None, None], (40, 60, 3))
    content = encode_jpeg(smooth)
    assert content[:3] == b"\xff\xd8\xff"
    assert np.abs(load_picture(content).astype(int) - smooth).max() <= 6
    assert len(encode_jpeg(PICTURE, 20)) < len(encode_jpeg(PICTURE, 95))
    for quality in (0, 96):
        with pytest.raises(BadInputError, match="1 to 95"):
            encode_jpeg(smooth, quality)
    with pytest.raises(BadInputError, match="65535"):
        encode_jpeg(np.zeros((1, 65_536, 3), np.uint8))


def test_a_folder_is_read_in_natural_order_and_damaged_pictures_are_reported(tmp_path):
    for name in ("frame10.png", "frame2.png", "Frame1.PNG", "ä3.png", "映画 4.png", "frame02.png"):
        (tmp_path / name).write_bytes(file_bytes(PICTURE))
    (tmp_path / "frame3.png").write_bytes(file_bytes(PICTURE)[:200])
    (tmp_path / "frame4.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "frame5.png").mkdir()
    names = [
        "Frame1.PNG",
        "frame02.png",
        "frame2.png",
        "frame3.png",
        "frame4.txt",
        "frame10.png",
        "ä3.png",
        "映画 4.png",
    ]
    assert picture_names(tmp_path) == names
    found = list(iter_picture_folder(tmp_path))
    assert [(picture.index, picture.name) for picture in found] == list(enumerate(names))
    for picture in found:
        if picture.name in ("frame3.png", "frame4.txt"):
            assert picture.image is None
            assert isinstance(picture.error, DecodeError)
        else:
            assert picture.error is None
            assert np.array_equal(picture.image, PICTURE)


def test_a_folder_that_is_none_is_an_error(tmp_path):
    with pytest.raises(NotFoundError, match="there is no such folder"):
        picture_names(tmp_path / "gone")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInputError, match="a file, not a folder"):
        picture_names(tmp_path / "file")


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((0.5, 0.25, 0.1, 0.5), (5, 15), (12, 22)),  # a tall box grows to both sides
        ((0, 0.5, 0.4, 0.1), (5, 17), (0, 12)),
        ((0.9, 0, 0.1, 0.8), (0, 16), (14, 30)),  # moved back into the picture
        ((0, 0, 1, 0.5), (0, 20), (0, 30)),  # a square of its side does not fit
        ((0.2, 0.3, 0.2, 0.3), (6, 12), (6, 12)),
    ],
)
def test_the_smallest_square_around_a_box_is_cut(box, rows, columns):
    expected = PICTURE[slice(*rows), slice(*columns)]
    assert np.array_equal(crop_square(PICTURE, box), expected)
    with pytest.raises(BadInputError, match="box"):
        crop_square(PICTURE, (0.5, 0.5, 0.6, 0.1))

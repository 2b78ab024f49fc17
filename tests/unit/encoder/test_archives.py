"""Archives of key-frames, and those that somebody made to do harm."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from encoder import archives
from encoder.archives import is_archive_file, is_archive_name, opened_archive
from encoder.damage import DecodeWarning
from encoder.folders import iter_folder_frames, load_folder_frame, read_album
from hashreel.errors import DecodeError, ForbiddenError, NotFoundError

Files = dict[str, bytes]


def picture(red: int) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (16, 16), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def make_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: Files, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


MAKERS: dict[str, Callable[[Path, Files], Path]] = {
    "a.zip": make_zip,
    "a.tar": make_tar,
    "a.tar.gz": lambda path, files: make_tar(path, files, "w:gz"),
    "a.tar.bz2": lambda path, files: make_tar(path, files, "w:bz2"),
    "a.tgz": lambda path, files: make_tar(path, files, "w:gz"),
    "a.txz": lambda path, files: make_tar(path, files, "w:xz"),
}
PICTURES = {
    "day/10.png": picture(10),
    "day/2.png": picture(2),
    "größe/日本 1.png": picture(200),
    "day/.hidden.png": b"",
    "__MACOSX/day/2.png": b"",
}
NAMES = ["day/2.png", "day/10.png", "größe/日本 1.png"]


@pytest.mark.parametrize("name", MAKERS)
def test_archive_is_read_like_a_folder(tmp_path: Path, name: str) -> None:
    path = MAKERS[name](tmp_path / name, PICTURES)
    assert is_archive_name(name)
    assert is_archive_file(path)
    album = read_album(path)
    assert (album.names, album.notes, len(album.sha256)) == (NAMES, [], 64)
    warnings: list[DecodeWarning] = []
    frames = list(iter_folder_frames(path, short_side=16, warnings=warnings))
    assert [(frame.time_ms, frame.image[0, 0, 0]) for frame in frames] == [(0, 2), (1000, 10), (2000, 200)]
    part = list(iter_folder_frames(path, short_side=16, warnings=warnings, names=album.names, start=1, stop=2))
    assert [frame.time_ms for frame in part] == [1000]
    assert load_folder_frame(path, 2000)[0, 0, 0] == 200
    assert load_folder_frame(path, 0, "day/10.png")[0, 0, 0] == 10
    with pytest.raises(NotFoundError):
        load_folder_frame(path, 9000)
    assert warnings == []


def test_what_is_no_picture_is_told_of_and_a_damaged_one_costs_only_itself(tmp_path: Path) -> None:
    path = make_zip(
        tmp_path / "a.zip", {"1.png": b"no picture", "2.png": picture(2), "clip.mp4": b"x", "notes.txt": b"y"}
    )
    warnings: list[DecodeWarning] = []
    assert [frame.time_ms for frame in iter_folder_frames(path, short_side=16, warnings=warnings)] == [1000]
    assert warnings[0].reason == "2 files in it are no pictures and were left out: clip.mp4, notes.txt"
    assert (warnings[1].at_ms, warnings[1].reason.split(":")[0]) == (0, "1.png")


@pytest.mark.parametrize(
    "name", ["/etc/passwd.png", "../up.png", "a/../../up.png", "..\\up.png", "C:\\up.png", "a\nb.png", "a\x7fb.png"]
)
@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
def test_names_that_lead_out_are_not_read(tmp_path: Path, kind: str, name: str) -> None:
    path = MAKERS[kind](tmp_path / kind, {name: picture(1), "fine.png": picture(2)})
    warnings: list[DecodeWarning] = []
    frames = list(iter_folder_frames(path, short_side=16, warnings=warnings))
    assert len(frames) == 1
    assert "leads out of the archive" in warnings[0].reason
    assert [entry.name for entry in tmp_path.iterdir()] == [kind]


def test_links_and_devices_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(99))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("sym.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE), ("dev.png", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            archive.addfile(info)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        entry = zipfile.ZipInfo("sym.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(entry, str(secret))
    for path, count in ((tmp_path / "a.tar", 3), (tmp_path / "a.zip", 1)):
        with opened_archive(path) as archive_:
            assert [member.problem for member in archive_.members] == ["a link or a device is not followed"] * count
            with pytest.raises(ForbiddenError):
                archive_.read(0)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz", "a.txz"])
def test_bombs_are_refused_before_they_go_off(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 2**20)
    path = MAKERS[kind](tmp_path / kind, {"1.png": bytes(8 * 2**20)})
    with pytest.raises(DecodeError, match="unpacks to more than 100 times its"):
        read_album(path)


def test_picture_that_lies_about_its_size_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
    path = make_zip(tmp_path / "a.zip", {"1.png": bytes(5000), "2.png": picture(2)})
    raw = path.read_bytes()
    # Both places that tell the unpacked size say 10 bytes.
    path.write_bytes(raw.replace(struct.pack("<L", 5000), struct.pack("<L", 10)))
    warnings: list[DecodeWarning] = []
    assert len(list(iter_folder_frames(path, short_side=16, warnings=warnings))) == 1
    assert warnings[0].reason.startswith("1.png: ")
    honest = make_zip(tmp_path / "b.zip", {"1.png": bytes(5000)})
    with opened_archive(honest) as archive:
        assert archive.members[0].problem == "it is larger than 1000 bytes"


def test_lists_beyond_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    many = {f"{n}.png": b"" for n in range(3)}
    for kind in ("a.zip", "a.tar"):
        with pytest.raises(DecodeError, match="more than 2 files"):
            read_album(MAKERS[kind](tmp_path / kind, many))
    monkeypatch.setattr(archives, "MAX_LIST_BYTES", 50)
    with pytest.raises(DecodeError, match=r"a list of .* bytes"):
        read_album(tmp_path / "a.zip")
    monkeypatch.setattr(archives, "MAX_HEADER_BYTES", 100)
    long_name = make_tar(tmp_path / "b.tar", {"x" * 300 + ".png": picture(1)})
    with pytest.raises(DecodeError, match="a header of"):
        read_album(long_name)


def test_encrypted_members_are_told_of(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"1.png": picture(1)})
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(raw))
    with opened_archive(path) as archive:
        assert archive.members[0].problem == "it is encrypted"


def test_the_last_of_two_with_one_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    make_tar(path, {"1.png": picture(1)})
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("1.png")
        info.size = len(picture(7))
        archive.addfile(info, io.BytesIO(picture(7)))
    assert read_album(path).notes == ["1 names occur more than once, the last one counts: 1.png"]
    assert load_folder_frame(path, 0)[0, 0, 0] == 7


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz"])
def test_torn_archive_keeps_what_is_whole(tmp_path: Path, kind: str) -> None:
    noise = {f"{n}.png": picture(n) + bytes(range(256)) * 20 for n in range(20)}
    path = MAKERS[kind](tmp_path / kind, noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    warnings: list[DecodeWarning] = []
    frames = list(iter_folder_frames(path, short_side=16, warnings=warnings))
    assert 0 < len(frames) < 20
    assert any("damaged" in warning.reason or "unpacked" in warning.reason for warning in warnings)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x1f\x8b\x08 and no more", b"text" * 500])
def test_what_is_no_archive_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=r"a\.zip"):
        read_album(path)

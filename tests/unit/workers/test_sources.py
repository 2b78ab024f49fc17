"""From names to sources: everything that is named comes out, and nothing outside the roots is read or listed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.store import printable
from workers.sources import Source, SourceRoots


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "s.mp4").write_bytes(b"secret")
    return folder


@pytest.fixture
def roots(root: Path) -> SourceRoots:
    return SourceRoots({"archive": root})


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))


def names(roots: SourceRoots, text: str) -> list[str]:
    return [source.name for source in roots.expand(text)]


def only(roots: SourceRoots, text: str) -> Source:
    found = list(roots.expand(text))
    assert len(found) == 1, found
    return found[0]


# Files


@pytest.mark.parametrize(
    "spelling", ["archive/a/b.mp4", "archive/./a//b.mp4", "archive/a/../a/b.mp4", "{root}/a/b.mp4"]
)
def test_a_file_has_one_name_however_it_is_spelt(roots: SourceRoots, root: Path, spelling: str) -> None:
    put(root, "a/b.mp4")
    source = only(roots, spelling.format(root=root))
    info = (root / "a/b.mp4").stat()
    assert source == Source("archive/a/b.mp4", str(root / "a/b.mp4"), "video", info.st_size, info.st_mtime_ns)


@pytest.mark.parametrize(
    "name", ["ünï çødé.mp4", "日本語/動画.mkv", "a b'c\"d;e.mp4", "-x.mp4", "a\nb.mp4", "%20.mp4", "~x.mp4"]
)
def test_odd_names_are_names(roots: SourceRoots, root: Path, name: str) -> None:
    put(root, name)
    assert only(roots, f"archive/{name}") == only(roots, str(root / name))
    assert only(roots, f"archive/{name}").problem == ""
    assert names(roots, "archive") == [f"archive/{name}"]


def test_name_that_is_not_utf8_is_a_failed_source(roots: SourceRoots, root: Path) -> None:
    put(root, "good.mp4", b"bad\xff.mp4".decode("utf-8", "surrogateescape"))
    found = {printable(source.name): source.problem for source in roots.expand("archive")}
    assert found.pop("archive/good.mp4") == ""
    assert found == {"archive/bad�.mp4": "the file name is not valid UTF-8; rename the file"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "an empty name"),
        (" \t", "an empty name"),
        ("archive/a\0b.mp4", "with a NUL"),
        ("http://host/a.mp4", "URLs are not read"),
        ("archive/none.mp4", "No such file"),
        ("archive/" + "x" * 5000, "File name too long"),
        ("archive/" + "x/" * 3000, "File name too long"),
        ("archive/" + "[x]" * 2000, "File name too long"),
        ("~nobody-of-that-name/a.mp4", "home"),
        ("archive/\ud800.mp4", "surrogates not allowed"),
        ("archive/*.mp4", "no file matches"),
        ("archive/[", "no file matches"),
        ("a.mp4", "not inside a source root"),
        ("/etc/passwd", "not inside a source root"),
        ("archive/../../../../../../../../etc/passwd", "not inside a source root"),
        ("..", "not inside a source root"),
        ("99999999999999999999999999", "not inside a source root"),
    ],
)
def test_name_of_no_use_is_one_failed_source(roots: SourceRoots, text: str, problem: str) -> None:
    assert problem in only(roots, text).problem


def test_what_is_no_regular_file_is_not_opened(roots: SourceRoots, root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert only(roots, "archive/pipe").problem == "not a regular file"
    assert only(roots, "archive").problem == "not a regular file"


def test_no_roots_at_all_refuse_everything() -> None:
    assert "none is configured" in only(SourceRoots({}), "/etc").problem


# Folders


def test_folder_gives_its_files_in_a_stable_order(roots: SourceRoots, root: Path) -> None:
    put(root, "b/2.mp4", "b/1.mkv", "a.mp4", "b/c/3.avi", "notes.txt", ".hidden.mp4", ".git/x.mp4")
    expected = ["a.mp4", "notes.txt", "b/1.mkv", "b/2.mp4", "b/c/3.avi"]
    assert names(roots, "archive") == [f"archive/{name}" for name in expected]
    assert names(roots, "archive/b/") == [f"archive/{name}" for name in expected[2:]]


def test_empty_folder_is_a_failed_source(roots: SourceRoots, root: Path) -> None:
    (root / "empty/inner").mkdir(parents=True)
    assert only(roots, "archive/empty").problem == "the folder holds no files"


def test_folder_of_pictures_is_one_source_beside_its_videos(roots: SourceRoots, root: Path) -> None:
    put(root, "day/1.jpg", "day/2.PNG", "day/x.mp4", "day/night/3.webp")
    os.utime(root / "day/1.jpg", ns=(1, 10**18))
    os.utime(root / "day/2.PNG", ns=(1, 2 * 10**18))
    day, video, night = roots.expand("archive/day")
    assert (day.name, day.kind, day.size, day.modified_ns) == ("archive/day", "pictures", 18, 2 * 10**18)
    assert (video.name, video.kind) == ("archive/day/x.mp4", "video")
    assert (night.name, night.kind, night.path) == ("archive/day/night", "pictures", str(root / "day/night"))


def test_broken_link_in_a_folder_is_a_source_that_fails(roots: SourceRoots, root: Path) -> None:
    put(root, "good.mp4")
    (root / "gone.mp4").symlink_to(root / "nowhere.mp4")
    (root / "loop.mp4").symlink_to(root / "loop.mp4")
    (root / "p").mkdir()
    (root / "p/1.png").symlink_to(root / "nowhere.png")
    problems = [source.problem for source in roots.expand("archive")]
    assert names(roots, "archive")[0] == "archive/gone.mp4", "that of the link, which is what a user sees"
    assert [bool(problem) for problem in problems] == [True, False, True, False]
    assert "No such file" in problems[0]
    assert "symbolic links" in problems[2]


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Give up the rights of root, which no permission stops."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_folder_that_cannot_be_listed_is_a_failed_source(root: Path, request: pytest.FixtureRequest) -> None:
    put(root, "locked/a.mp4", "open/b.mp4")
    for folder in [root, *root.parents]:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    (root / "locked").chmod(0)
    request.getfixturevalue("as_nobody")
    found = {source.name: source.problem for source in SourceRoots({"archive": root}).expand("archive")}
    assert found == {"archive/locked": "cannot be listed: Permission denied", "archive/open/b.mp4": ""}


# Links


def test_link_to_a_folder_inside_the_root_is_followed_once(roots: SourceRoots, root: Path) -> None:
    put(root, "real/a.mp4", "top.mp4")
    (root / "again").symlink_to(root / "real")
    (root / "real/up").symlink_to(root)
    assert sorted(names(roots, "archive")) == ["archive/real/a.mp4", "archive/top.mp4"]
    assert names(roots, "archive/again") == ["archive/real/a.mp4", "archive/top.mp4"]


def test_links_that_lead_out_are_refused_and_nothing_behind_them_is_listed(
    roots: SourceRoots, root: Path, outside: Path
) -> None:
    put(root, "good.mp4")
    (root / "file.mp4").symlink_to(outside / "s.mp4")
    (root / "folder").symlink_to(outside)
    found = {source.name: source for source in roots.expand("archive")}
    assert set(found) == {str(root / "file.mp4"), str(root / "folder"), "archive/good.mp4"}
    for text in ("archive/file.mp4", "archive/folder", "archive/folder/s.mp4"):
        source = only(roots, text)
        assert "not inside a source root" in source.problem
        assert source.size == 0
    assert not any("s.mp4" in name for name in names(roots, "archive/folder/*"))


def test_folder_with_a_picture_that_leads_out_is_refused(roots: SourceRoots, root: Path, outside: Path) -> None:
    put(root, "p/1.png", "q/1.png")
    (root / "p/2.png").symlink_to(outside / "s.mp4")
    (root / "q/2.png").symlink_to(root / "q/1.png")
    refused, taken = roots.expand("archive")
    assert "2.png is a link that leads out" in refused.problem
    assert taken.problem == ""


def test_nothing_outside_the_roots_is_listed(roots: SourceRoots, outside: Path) -> None:
    for text in (str(outside), f"{outside}/*", f"{outside}/**/*", "archive/../secret/*", "/*", "/"):
        source = only(roots, text)
        assert source.name == (text if "*" in text else os.path.abspath(source.path))
        assert "not inside a source root" in source.problem


def test_root_that_is_itself_a_link_is_a_root(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    roots = SourceRoots({"linked": tmp_path / "link"})
    assert names(roots, "linked") == names(roots, str(outside)) == ["linked/s.mp4"]
    assert names(roots, f"{tmp_path}/link/s.mp4") == ["linked/s.mp4"]


# Globs


def test_globs(roots: SourceRoots, root: Path) -> None:
    put(root, "a1.mp4", "a2.mp4", "b.mkv", "deep/er/a3.mp4")
    assert names(roots, "archive/a?.mp4") == ["archive/a1.mp4", "archive/a2.mp4"]
    assert names(roots, f"{root}/[ab]*.m*") == ["archive/a1.mp4", "archive/a2.mp4", "archive/b.mkv"]
    assert names(roots, "archive/**/*3.mp4") == ["archive/deep/er/a3.mp4"]
    assert names(roots, "archive/d*") == ["archive/deep/er/a3.mp4"]


def test_file_whose_name_looks_like_a_glob_is_that_file(roots: SourceRoots, root: Path) -> None:
    put(root, "a[1].mp4", "a1.mp4")
    assert names(roots, "archive/a[1].mp4") == ["archive/a[1].mp4"]


def test_a_name_that_was_found_before_is_no_glob_when_its_file_is_gone(roots: SourceRoots, root: Path) -> None:
    (root / "clip1.mp4").write_bytes(b"another film")
    (typed,) = roots.expand("archive/clip[1].mp4")
    assert typed.name == "archive/clip1.mp4"
    (known,) = roots.expand("archive/clip[1].mp4", is_name=True)
    assert (known.name, known.problem) == ("archive/clip[1].mp4", "cannot be read: No such file or directory")


def test_root_whose_path_looks_like_a_glob_is_meant_literally(tmp_path: Path) -> None:
    root = tmp_path / "old [2019] *"
    put(root, "a.mp4")
    roots = SourceRoots({"archive": root})
    assert names(roots, "archive/*.mp4") == names(roots, f"{root}/*.mp4") == ["archive/a.mp4"]


# Any path that the user can read


def test_open_roots_take_any_path_under_its_real_name(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = SourceRoots({"archive": root}, is_open=True)
    monkeypatch.chdir(outside)
    monkeypatch.setenv("HOME", str(outside))
    (root / "link.mp4").symlink_to(outside / "s.mp4")
    spellings = [str(outside / "s.mp4"), "s.mp4", "./x/../s.mp4", "~/s.mp4", "*.mp4", "archive/link.mp4", ".", "~"]
    (outside / "x").mkdir()
    assert {text: names(roots, text) for text in spellings} == {text: [str(outside / "s.mp4")] for text in spellings}
    put(root, "a.mp4")
    assert names(roots, str(root / "a.mp4")) == ["archive/a.mp4"]

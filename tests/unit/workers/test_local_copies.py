"""Local copies of sources that lie elsewhere: fetched from a real web server, in spite of breaks, within bounds."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_files import Web, web_files

from hashreel.errors import ForbiddenError, HashreelError, NotFoundError, UnavailableError
from hashreel.settings import Settings
from workers.copies import KEEP_S, LocalCopies

FILM = bytes(range(256)) * 4000


@pytest.fixture
def web() -> Iterator[Web]:
    with web_files() as served:
        yield served


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, source_hosts=["127.0.0.0/8", "localhost", "memory://films"], source_timeout_s=60)


@pytest.fixture
def copies(settings: Settings) -> LocalCopies:
    return LocalCopies(settings)


def kept(copies: LocalCopies) -> list[str]:
    """Return the names of the files that are there."""
    return sorted(path.name for path in copies.scratch.rglob("*") if path.is_file())


def test_copy_is_whole_and_fetched_once(web: Web, copies: LocalCopies) -> None:
    url = web.url("/a/m%C3%BCller%20film.mp4?id=7")
    web.put("/a/m%C3%BCller%20film.mp4?id=7", FILM)
    copy = copies.fetch(url)
    assert (copy.path.name, copy.path.read_bytes()) == ("müller film.mp4", FILM)
    assert copies.fetch(url, copy.version) == copy
    assert len(web.asked) == 1
    # Without a version in mind, one byte tells that it is still the same.
    assert copies.fetch(url) == copy
    assert web.asked[1:] == [("/a/m%C3%BCller%20film.mp4?id=7", f"bytes={len(FILM) - 1}-")]
    copies.remove(url)
    assert kept(copies) == []


def test_broken_transfer_goes_on_where_it_broke(web: Web, copies: LocalCopies) -> None:
    page = web.put("/f.mp4", FILM, cuts=[300_000, 200_000])
    for _ in range(2):
        with pytest.raises(UnavailableError):
            copies.fetch(web.url("/f.mp4"))
    copy = copies.fetch(web.url("/f.mp4"))
    assert copy.path.read_bytes() == FILM
    starts = [int(wanted.removeprefix("bytes=").rstrip("-") or 0) for _, wanted in web.asked]
    assert starts == sorted(starts)
    assert 0 < starts[1] <= 300_000 < starts[2] <= 500_000
    assert page.cuts == []


@pytest.mark.parametrize("change", ["version", "shorter", "no ranges", "no version"])
def test_transfer_begins_again_where_it_cannot_go_on(web: Web, copies: LocalCopies, change: str) -> None:
    page = web.put("/f.mp4", FILM, cuts=[300_000], etag="" if change == "no version" else '"1"')
    with pytest.raises(UnavailableError):
        copies.fetch(web.url("/f.mp4"))
    if change == "version":
        page.content, page.etag = FILM[::-1], '"2"'
    elif change == "shorter":
        page.content, page.etag = b"short", '"2"'
    page.has_ranges = change != "no ranges"
    assert copies.fetch(web.url("/f.mp4")).path.read_bytes() == page.content


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (403, ForbiddenError), (503, UnavailableError)])
def test_status_tells_whether_to_try_again(web: Web, copies: LocalCopies, status: int, error: type[Exception]) -> None:
    web.put("/f.mp4", FILM, status=[status])
    with pytest.raises(error, match=f"answers with status {status}"):
        copies.fetch(web.url("/f.mp4"))
    assert list(copies.scratch.iterdir()) == []
    assert copies.fetch(web.url("/f.mp4")).path.read_bytes() == FILM


@pytest.mark.parametrize("has_length", [True, False])
def test_larger_ones_than_the_limit_are_not_fetched(
    web: Web, copies: LocalCopies, settings: Settings, has_length: bool
) -> None:
    settings.max_source_bytes = 500_000
    web.put("/f.mp4", FILM, has_length=has_length)
    with pytest.raises(ForbiddenError, match="max_source_bytes"):
        copies.fetch(web.url("/f.mp4"))
    assert sum(path.stat().st_size for path in copies.scratch.rglob("*")) < 700_000


def test_hosts_redirects_and_private_addresses_are_checked(web: Web, copies: LocalCopies, settings: Settings) -> None:
    web.put("/f.mp4", FILM)
    web.put("/away", location=f"http://localhost:{web.port}/f.mp4")
    web.put("/inside", location="/f.mp4")
    web.put("/file", location="file:///etc/passwd")
    settings.source_hosts = [f"localhost:{web.port}"]
    with pytest.raises(ForbiddenError, match="not public"):
        copies.fetch(web.url("/f.mp4", "localhost"))
    with pytest.raises(ForbiddenError, match="not an allowed host"):
        copies.fetch(web.url("/f.mp4"))
    assert web.asked == []
    settings.source_hosts = ["127.0.0.1/32"]
    with pytest.raises(ForbiddenError, match="localhost"):
        copies.fetch(web.url("/away"))
    with pytest.raises(ForbiddenError):
        copies.fetch(web.url("/file"))
    assert copies.fetch(web.url("/inside")).path.read_bytes() == FILM


def test_room_is_made_by_what_was_used_longest_ago(web: Web, copies: LocalCopies, settings: Settings) -> None:
    settings.source_cache_bytes = int(2.5 * len(FILM))
    for name in "abc":
        web.put(f"/{name}.mp4", FILM)
    for age, name in ((10, "a"), (20, "b")):
        folder = copies.fetch(web.url(f"/{name}.mp4")).path.parent
        used = folder.stat().st_mtime - age
        os.utime(folder, (used, used))
    copies.fetch(web.url("/c.mp4"))
    assert [name for name in kept(copies) if name.endswith(".mp4")] == ["a.mp4", "c.mp4"]
    settings.source_cache_bytes = len(FILM) // 2
    web.put("/d.mp4", FILM)
    with pytest.raises(ForbiddenError, match="source_cache_bytes"):
        copies.fetch(web.url("/d.mp4"))


def test_left_overs_are_swept(web: Web, copies: LocalCopies) -> None:
    web.put("/old.mp4", b"old")
    web.put("/new.mp4", b"new")
    old = copies.fetch(web.url("/old.mp4")).path.parent
    long_ago = old.stat().st_mtime - KEEP_S - 10
    os.utime(old, (long_ago, long_ago))
    copies.fetch(web.url("/new.mp4"))
    assert not old.exists()


def test_two_who_want_the_same_fetch_it_once(web: Web, settings: Settings) -> None:
    begun, go = threading.Event(), threading.Event()
    page = web.put("/f.mp4", FILM, pause=lambda: (begun.set(), go.wait(60)))
    found: list[bytes] = []

    def fetch(version: str) -> None:
        found.append(LocalCopies(settings).fetch(web.url("/f.mp4"), version).path.read_bytes())

    first = threading.Thread(target=fetch, args=("",))
    first.start()
    assert begun.wait(60)
    # It cannot be taken away meanwhile.
    LocalCopies(settings).remove(web.url("/f.mp4"))
    version = f'["\\"1\\"", "", {len(FILM)}]'
    second = threading.Thread(target=fetch, args=(version,))
    second.start()
    go.set()
    for thread in (first, second):
        thread.join(60)
    assert found == [FILM, FILM]
    assert len(web.asked) == 1
    assert page.content == FILM


def test_cancelled_transfer_ends(web: Web, copies: LocalCopies) -> None:
    web.put("/f.mp4", FILM)

    def refuse() -> None:
        raise NotFoundError("cancelled")

    with pytest.raises(NotFoundError, match="cancelled"):
        copies.fetch(web.url("/f.mp4"), go_on=refuse)


def test_other_file_systems_where_the_beginning_is_named(copies: LocalCopies) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe({"/films/a.mp4": FILM, "/secret/b.mp4": b"secret"})
    copy = copies.fetch("memory://films/a.mp4")
    assert copy.path.read_bytes() == FILM
    assert copies.fetch("memory://films/a.mp4", copy.version) == copy
    with pytest.raises(NotFoundError):
        copies.fetch("memory://films/none.mp4")
    for url in (
        "memory://secret/b.mp4",
        "memory://films/../secret/b.mp4",
        "memory://films/%2e%2e/secret/b.mp4",
        "memory://filmsandmore/b.mp4",
        "zip://a.mp4::memory://films/a.zip",
        "simplecache::memory://films/a.mp4",
        "local:///etc/passwd",
        "sftp://user:secret@host/a.mp4",
    ):
        with pytest.raises(HashreelError) as caught:
            copies.fetch(url)
        assert isinstance(caught.value, ForbiddenError), url
        assert "secret@" not in str(caught.value)


def test_kind_without_its_package_is_told_of(copies: LocalCopies, settings: Settings) -> None:
    settings.source_hosts = ["nosuch://x/"]
    with pytest.raises(ForbiddenError, match="no file system for this kind of address"):
        copies.fetch("nosuch://x/a.mp4")

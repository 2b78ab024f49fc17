"""Which files of a folder are complete, and what is remembered of those that were taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hashreel.arrivals import Arrivals, Found, Journal, is_candidate
from hashreel.errors import BadInputError, ConflictError


def names(found: list[Found]) -> list[str]:
    return [os.path.basename(one.path) for one in found]


def nothing(found: Found) -> bool:
    return False


@pytest.mark.parametrize("name", ["a.mp4", "A.MKV", "b.ts", "c.mxf", "d.mpg", "film", "e.r3d"])
def test_name_of_a_video_is_a_candidate(name: str) -> None:
    assert is_candidate(name)


@pytest.mark.parametrize(
    "name", ["a.mp4.part", "a.MP4.PART", "b.tmp", "c.mp4.crdownload", "d.mp4~", "e.jpg", "f.txt", "g.json", "h.wav"]
)
def test_name_of_a_file_under_way_or_of_no_video_is_none(name: str) -> None:
    assert not is_candidate(name)


def test_file_is_complete_when_it_has_not_changed_for_a_while(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, settle_s=10, ignore=["*.proxy.mp4"])
    growing, whole = tmp_path / "growing.mp4", tmp_path / "b" / "whole.mp4"
    whole.parent.mkdir()
    whole.write_bytes(b"all")
    growing.write_bytes(b"1")
    for name in (".hidden.mp4", "a.proxy.mp4", "empty.mp4", "c.mp4.part"):
        (tmp_path / name).write_bytes(b"" if name == "empty.mp4" else b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names(arrivals.look(100, nothing)) == []
    assert arrivals.pending == 2
    growing.write_bytes(b"12")
    assert names(arrivals.look(105, nothing)) == []
    os.utime(growing, ns=(1, 1))  # as large as before, but written to
    assert names(arrivals.look(110, nothing)) == ["whole.mp4"]
    assert names(arrivals.look(119, nothing)) == ["whole.mp4"]
    assert names(arrivals.look(120, nothing)) == ["whole.mp4", "growing.mp4"]  # by path


def test_renamed_file_is_taken_once_under_its_last_name(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, settle_s=10)
    (tmp_path / "a.mp4.part").write_bytes(b"all")
    assert arrivals.look(0, nothing) == []
    assert arrivals.pending == 0
    (tmp_path / "a.mp4.part").rename(tmp_path / "a.mp4")
    arrivals.look(20, nothing)
    (found,) = arrivals.look(30, nothing)
    assert names([found]) == ["a.mp4"]
    arrivals.forget([found])
    assert arrivals.look(50, lambda one: one == found) == []
    assert arrivals.pending == 0


def test_folder_that_went_away_is_an_error_and_one_below_it_is_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="away"):
        Arrivals(tmp_path / "away", settle_s=0).look(0, nothing)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert Arrivals(tmp_path, settle_s=0).look(0, nothing) == []


def test_journal_remembers_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.jsonl"
    first, second, third = Found("/a", (1, 10)), Found("/b", (2, 20)), Found("/c", (3, 30))
    journal = Journal(path)
    journal.accepted(journal.ask([first], {"sources": ["/a"]}))
    lost = journal.ask([second], {"sources": ["/b"], "every_s": 2.0})
    journal.refused(journal.ask([third], {}))
    with pytest.raises(ConflictError, match="in use"):
        Journal(path)
    journal.close()
    # The process was killed in the middle of a line.
    with path.open("a") as file:
        file.write('{"accepted": "' + lost.key[:5])
    for _ in range(2):
        again = Journal(path)
        assert again.unanswered == [lost]
        assert again.is_taken(first)
        assert again.is_taken(second)
        assert not again.is_taken(third)
        assert not again.is_taken(Found("/a", (1, 11)))
        again.close()
    again = Journal(path)
    again.accepted(lost)
    again.close()
    again = Journal(path)
    assert again.unanswered == []
    assert again.is_taken(second)
    again.close()


def test_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("something of mine\nand more\n")
    with pytest.raises(BadInputError, match="line 1"):
        Journal(path)
    assert path.read_text().startswith("something of mine")


def test_folders_that_cannot_be_listed_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"all")
    # Even the superuser cannot list a folder whose path is too long.
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 240, dir_fd=folder)
        inner = os.open("d" * 240, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    arrivals = Arrivals(tmp_path, settle_s=0)
    assert names(arrivals.look(1, nothing)) == ["a.mp4"]
    ((path, reason),) = arrivals.closed.items()
    assert path.startswith(str(tmp_path))
    assert "too long" in reason


def test_file_that_is_no_text_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"\x00\xff\x9c\n\xff\n")
    with pytest.raises(BadInputError, match=r"film\.mp4, line 1"):
        Journal(tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"\x00\xff\x9c\n\xff\n"

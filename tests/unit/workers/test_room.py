"""Who may run beside whom in a worker process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gallery_mirror import wait_until

from workers.room import UNKNOWN_BYTES, Room, decoder_bytes

MIB = 2**20
LONG_S = 60.0


class Guest:
    """A thread that goes into a room and stays until it is told to leave."""

    def __init__(self, room: Room, wanted: int, *, alone: bool = False) -> None:
        self.entered: bool | None = None
        self._may_leave = threading.Event()

        def visit() -> None:
            with room.hold(wanted, alone=alone) as entered:
                self.entered = entered
                assert self._may_leave.wait(LONG_S)

        self._thread = threading.Thread(target=visit)
        self._thread.start()

    def leave(self) -> None:
        self._may_leave.set()
        self._thread.join(LONG_S)

    def is_inside(self) -> None:
        wait_until(lambda: self.entered is True, "the guest is inside")


@contextmanager
def guest(room: Room, wanted: int, *, alone: bool = False) -> Iterator[Guest]:
    """Yield a guest that is inside, or waits in line."""
    before = len(room._waiting) + len(room._taken)
    visitor = Guest(room, wanted, alone=alone)
    wait_until(lambda: len(room._waiting) + len(room._taken) > before or visitor.entered is False, "the guest came")
    yield visitor
    visitor.leave()


def test_as_many_are_inside_as_fit_and_none_passes_one_that_waits() -> None:
    room = Room(10)
    with guest(room, 4) as one, guest(room, 6) as other:
        one.is_inside()
        other.is_inside()
        with guest(room, 10**9) as whole, guest(room, 1) as small:
            assert whole.entered is small.entered is None
            one.leave()
            wait_until(lambda: room._taken == [6], "one has left")
            # There would be room for the small one, but the whole one came first.
            assert whole.entered is small.entered is None
            other.leave()
            whole.is_inside()
            assert small.entered is None
            whole.leave()
            small.is_inside()


def test_a_suspect_is_alone() -> None:
    room = Room(10)
    with guest(room, 1) as one, guest(room, 1, alone=True) as suspect, guest(room, 1) as later:
        assert suspect.entered is later.entered is None
        one.leave()
        suspect.is_inside()
        assert later.entered is None
        suspect.leave()
        later.is_inside()


def test_a_closed_room_sends_away_who_waits_and_who_comes() -> None:
    room = Room(10)
    with guest(room, 10) as inside, guest(room, 1) as waiting:
        inside.is_inside()
        room.close()
        wait_until(lambda: waiting.entered is False, "the one in line is sent away")
        with room.hold(1) as entered:
            assert not entered


def test_a_place_is_given_back_after_an_error() -> None:
    room = Room(10)
    with pytest.raises(ValueError), room.hold(10):
        raise ValueError
    with room.hold(10) as entered:
        assert entered


def test_memory_of_a_decoder_follows_from_its_frames() -> None:
    assert decoder_bytes(1920, 1080) == pytest.approx(60 * MIB, rel=0.05)
    assert decoder_bytes(7680, 4320) < 2**30
    assert decoder_bytes(0, 0) == UNKNOWN_BYTES

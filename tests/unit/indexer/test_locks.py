"""The read-write lock under threads that try to meet where they must not."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from indexer.locks import ReadWriteLock

WAIT_S = 30.0


def start(body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def test_readers_hold_the_lock_together() -> None:
    lock, inside = ReadWriteLock(), threading.Barrier(3)

    def read() -> None:
        with lock.reading():
            inside.wait(WAIT_S)  # passes only if all three are inside at once

    threads = [start(read) for _ in range(3)]
    for thread in threads:
        thread.join(WAIT_S)
    assert not inside.broken


def test_writers_are_alone_and_readers_never_see_half_a_write() -> None:
    lock = ReadWriteLock()
    pair, torn = [0, 0], []

    def write() -> None:
        for _ in range(300):
            with lock.writing():
                pair[0] += 1
                pair[1] += 1

    def read() -> None:
        for _ in range(300):
            with lock.reading():
                if pair[0] != pair[1]:
                    torn.append(tuple(pair))

    threads = [start(write) for _ in range(3)] + [start(read) for _ in range(3)]
    for thread in threads:
        thread.join(WAIT_S)
    assert not any(thread.is_alive() for thread in threads)
    assert pair == [900, 900]
    assert torn == []


def test_waiting_writer_goes_before_later_readers() -> None:
    lock, order = ReadWriteLock(), []
    first_is_in, let_go = threading.Event(), threading.Event()

    def first_reader() -> None:
        with lock.reading():
            first_is_in.set()
            let_go.wait(WAIT_S)

    def writer() -> None:
        with lock.writing():
            order.append("writer")

    def late_reader() -> None:
        with lock.reading():
            order.append("reader")

    threads = [start(first_reader)]
    first_is_in.wait(WAIT_S)
    threads.append(start(writer))
    while not lock._writers_waiting:
        pass
    threads.append(start(late_reader))
    let_go.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert order == ["writer", "reader"]


@pytest.mark.parametrize("side", ["reading", "writing"])
def test_lock_is_free_again_after_an_error_inside(side: str) -> None:
    lock = ReadWriteLock()
    with pytest.raises(RuntimeError), getattr(lock, side)():
        raise RuntimeError
    done: list[bool] = []

    def write() -> None:
        with lock.writing():
            done.append(True)

    start(write).join(WAIT_S)
    assert done == [True]

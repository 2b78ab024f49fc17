"""Asks a terminal whether it can show sixel pictures."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["can_show_sixel"]

ASK = b"\x1b[c"  # primary device attributes: every terminal answers, and a 4 among its features means sixel
ANSWER = re.compile(rb"\x1b\[\?([0-9;]*)c")
SIXEL = b"4"
LIMIT_S = 2.0  # for a slow line; terminals answer in milliseconds
KNOWN = ("foot", "mlterm", "yaft")
MUTE = frozenset({"", "dumb", "linux", "cons25", "emacs"})


def can_show_sixel(name: str, limit_s: float = LIMIT_S) -> bool:
    """Return whether the terminal on stdout shows sixel pictures: by its name, else by its own answer.

    Args:
        name: Of the terminal, what TERM says.
        limit_s: How long to wait for an answer. One that comes later would stand on the command line as if it were
            typed, so it is long.
    """
    if name in MUTE or not sys.stdout.isatty():
        return False
    if name.startswith(KNOWN):
        return True
    try:
        features = _ask(limit_s)
    except (OSError, ImportError):  # no terminal that can be set up, or a system without them
        return False
    return SIXEL in features


def _ask(limit_s: float) -> list[bytes]:
    """Return the features that the terminal names; none if it does not answer in time."""
    terminal = os.open(os.ttyname(sys.stdout.fileno()), os.O_RDWR | os.O_NOCTTY)
    try:
        if not _is_foreground(terminal):
            return []  # setting up the terminal would stop a job in the background
        sys.stdout.flush()
        with _unbuffered(terminal):
            os.write(terminal, ASK)
            return _answer(terminal, time.monotonic() + limit_s)
    finally:
        os.close(terminal)


def _answer(terminal: int, until: float) -> list[bytes]:
    read = b""
    while (seconds := until - time.monotonic()) > 0:
        if not select.select([terminal], [], [], seconds)[0]:
            break
        data = os.read(terminal, 1024)
        read += data
        found = ANSWER.search(read)
        if found or not data:
            return found[1].split(b";") if found else []
    return []


def _is_foreground(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # not the terminal of this process, so that nothing is stopped either
        return True


@contextmanager
def _unbuffered(terminal: int) -> Iterator[None]:
    """Let what the terminal sends come at once and without an echo."""
    import termios
    import tty

    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)

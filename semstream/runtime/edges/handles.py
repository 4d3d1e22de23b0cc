"""Frames on their way between two threads: ZeroMQ carries a handle, the receiver's mailbox holds the frame.

A run has one table of mailboxes in each process, a link has one mailbox. What is in it goes when the receiver takes it,
when the receiver closes its link, or at the latest when the table closes at the end of the run; so nothing is left of a
receiver that has died.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from semstream.runtime.frames.handover import Offer
from semstream.runtime.frames.wire import Gap

MARK = b"\xc1"
"""First byte of a handle: the one byte that msgpack never uses."""


Handed = tuple[Offer, Sequence[Gap]]
"""A frame, and the gaps that ride on it."""


class Mailbox:
    """Frames for one link, by handle. One thread puts, one takes."""

    def __init__(self) -> None:
        self._held: dict[bytes, Handed] = {}
        self._next = itertools.count()
        self._closed = False

    def __len__(self) -> int:
        return len(self._held)

    def put(self, handed: Handed) -> bytes:
        """Keep a frame; returns its handle, which is good for taking it once."""
        handle = b"\xc1%d" % next(self._next)
        self._held[handle] = handed
        if self._closed:  # the receiver has gone, perhaps just now
            self._held.clear()
        return handle

    def take(self, handle: bytes) -> Handed | None:
        """The frame of a handle, or None if there is none."""
        return self._held.pop(handle, None)

    def close(self) -> None:
        """Let go of everything, now and from now on."""
        self._closed = True
        self._held.clear()


class Mailboxes:
    """The table of one run in one process."""

    def __init__(self) -> None:
        self._by_name: dict[str, Mailbox] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        """Frames that no receiver has taken yet."""
        return sum(map(len, list(self._by_name.values())))

    def open(self) -> tuple[str, Mailbox]:
        """A new mailbox and the name by which a sender finds it."""
        name, mailbox = str(next(self._numbers)), Mailbox()
        self._by_name[name] = mailbox
        return name, mailbox

    def find(self, name: object) -> Mailbox | None:
        """The mailbox of that name, or None."""
        return self._by_name.get(name) if type(name) is str else None

    def close(self) -> None:
        """Close every mailbox."""
        for mailbox in list(self._by_name.values()):
            mailbox.close()

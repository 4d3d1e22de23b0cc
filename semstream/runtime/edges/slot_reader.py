"""SlotReader: a receiver's side of shared memory. It believes nothing that it has not checked.

An array of a received frame lies in the sender's memory. When the last reference to it is gone, wherever a block has
kept it, the lease is noted as given back, and returns with the next credit.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import weakref
from collections import deque
from functools import partial
from typing import Any

import numpy as np

from semstream.runtime.edges.slots import memory_name
from semstream.runtime.errors import WireError
from semstream.runtime.frames.frame import Array

MAX_MAPS = 1024
MAX_NUMBER = 2**62


class SlotReader:
    """Slots of one sender.

    Parameters
    ----------
    run
        Name of the run: memory of another one is refused.

    Attributes
    ----------
    capacity : int
        Bytes of the slot that was used last.
    """

    def __init__(self, run: str) -> None:
        self.capacity = 0
        self._name = memory_name(run)
        self._fd = -1
        self._maps: dict[tuple[int, int], mmap.mmap] = {}
        self._held: dict[int, weakref.ref[Array]] = {}
        self._gone: deque[int] = deque()

    def open(self, pid: Any, fd: Any) -> None:
        """Find the memory of a sender.

        Raises
        ------
        WireError
            If there is none, or it is not such memory of this run.
        """
        if self._fd >= 0:
            raise WireError("share", "the sender's memory is known already")
        if type(pid) is not int or type(fd) is not int or not (0 < pid < MAX_NUMBER and 0 <= fd < MAX_NUMBER):
            raise WireError("share", "pid or descriptor is no number")
        import fcntl  # not everywhere, but where there is a memfd

        path = f"/proc/{pid}/fd/{fd}"
        expected = f"/memfd:{self._name} (deleted)"
        try:
            if os.readlink(path) != expected:  # before it is opened: opening a device may do something
                raise WireError("share", f"{path} is no memory of this run")
            found = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise WireError("share", f"{path} cannot be opened ({error.strerror})") from error
        try:
            seals = fcntl.fcntl(found, fcntl.F_GET_SEALS)
            same = os.readlink(f"/proc/self/fd/{found}") == expected and stat.S_ISREG(os.fstat(found).st_mode)
            if not (same and seals & fcntl.F_SEAL_SHRINK):
                raise WireError("share", f"{path} is not sealed memory of this run")
        except (OSError, WireError) as error:
            os.close(found)
            if isinstance(error, OSError):
                raise WireError("share", f"{path} is no memory ({error.strerror})") from error
            raise
        self._fd = found

    def root(self, place: Any) -> Array:
        """All bytes of a leased slot, read-only; arrays made of it keep the lease.

        Parameters
        ----------
        place
            ``[lease, offset, capacity]`` as it came.

        Raises
        ------
        WireError
            If there is no such slot, or the lease is still held.
        """
        if self._fd < 0:
            raise WireError("slot", "a slot of a sender that shares no memory")
        if type(place) is not list or len(place) != 3:
            raise WireError("slot", "a slot is not [lease, offset, capacity]")
        lease, offset, capacity = place
        for number in place:
            if type(number) is not int or not 0 <= number < MAX_NUMBER:
                raise WireError("slot", "a slot has something else than numbers")
        if lease in self._held:
            raise WireError("slot", f"lease {lease} is still held")
        memory = self._maps.get((offset, capacity))
        if memory is None:
            memory = self._map(offset, capacity)
        root: Array = np.frombuffer(memory, np.uint8)
        # Arrays made of it have it as their base, and so has each view of them: it lives as long as any of them.
        self.capacity = capacity
        self._held[lease] = weakref.ref(root, partial(_note, self._gone, lease))
        return root

    def given_back(self) -> list[int]:
        """Leases whose arrays are gone since the last call."""
        leases = []
        while self._gone:
            lease = self._gone.popleft()
            self._held.pop(lease, None)
            leases.append(lease)
        return leases

    @property
    def has_given_back(self) -> bool:
        """Whether `given_back` has something to tell."""
        return bool(self._gone)

    def close(self) -> None:
        """Let go of the memory; arrays that a block still has stay as they are."""
        self._maps.clear()
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def _map(self, offset: int, capacity: int) -> mmap.mmap:
        if not capacity or offset % mmap.PAGESIZE or offset + capacity > os.fstat(self._fd).st_size:
            raise WireError("slot", f"no slot of {capacity} bytes at {offset}")
        try:
            flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
            memory = mmap.mmap(self._fd, capacity, flags, mmap.PROT_READ, offset=offset)
        except (OSError, ValueError, OverflowError) as error:
            raise WireError("slot", f"{capacity} bytes at {offset} cannot be mapped ({error})") from error
        if len(self._maps) >= MAX_MAPS:  # slots of sizes that are no longer used
            self._maps.clear()
        self._maps[offset, capacity] = memory
        return memory


def _note(gone: deque[int], lease: int, _: object) -> None:
    """The last reference has gone, in whatever thread held it."""
    gone.append(lease)

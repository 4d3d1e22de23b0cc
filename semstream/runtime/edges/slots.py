"""Slots: large arrays for other processes of the same run, in shared memory that the sending node owns.

A node copies a large array once, into a slot; its receivers, of however many edges, map that and read it in place. A
lease is one use of a slot for one frame. It ends when every receiver has given it back, which each does, with its
credit, once the last reference to the arrays is gone; only then is the slot written to again. How many slots there may
be follows from what the receivers may hold at a time; where there is none free, or none to be had, the frame goes
through the socket, and is counted.

The memory is a memfd. It has no name in any folder, so nothing stays behind however the processes die, and a full or
missing ``/dev/shm`` is no matter; what is used of it is reserved first, so that a lack of memory is an error here and
not a SIGBUS later. `multiprocessing.shared_memory` leaves its segments behind when its resource tracker is killed with
the rest, and files in ``/dev/shm`` do between their making and their unlinking. A receiver opens it read-only through
``/proc/PID/fd``, which asks for no second socket beside ZeroMQ's, as passing descriptors (SCM_RIGHTS) would. The seal
against shrinking is what lets a receiver map it without fear of the sender.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
import time

import numpy as np

from semstream.runtime.frames.frame import Array

SHARE_BYTES = 65536
"""Arrays of this size and more go through slots."""
WARM_BYTES = 2**20
"""Slots of this size and more go back at once, not with the next grant: to write to memory that is still in a cache
saves more than a message costs."""
ALIGNMENT = 64
MAX_SLOTS = 4096
SPARE = 2
"""Slots for each receiver beyond what it may hold: for blocks that keep the frame before."""
RETRY_S = 1.0


class Lease:
    """One use of a slot. `hold` and `release` count who needs it."""

    __slots__ = ("_holders", "_pool", "number", "slot")

    def __init__(self, pool: Pool, slot: Slot, number: int) -> None:
        self._pool = pool
        self._holders = 1
        self.slot = slot
        self.number = number

    def hold(self) -> None:
        """One more needs it."""
        self._holders += 1

    def release(self) -> None:
        """One needs it no longer; the last one frees the slot."""
        self._holders -= 1
        if not self._holders:
            self._pool._free.append(self.slot)

    @property
    def place(self) -> list[int]:
        """As it stands in a header: number of the lease, offset and capacity of the slot in bytes."""
        return [self.number, self.slot.offset, self.slot.capacity]


class Slot:
    """A stretch of the memory."""

    __slots__ = ("capacity", "memory", "offset")

    def __init__(self, memory: mmap.mmap, offset: int, capacity: int) -> None:
        self.memory = memory
        self.offset = offset
        self.capacity = capacity

    def write(self, at: int, array: Array) -> None:
        """Copy an array to `at`, in C order."""
        np.copyto(np.ndarray(array.shape, array.dtype, self.memory, at), array)


class Pool:
    """The slots of one node. Only its thread uses them.

    Parameters
    ----------
    run
        Name of the run: receivers map nothing of another one.

    Attributes
    ----------
    lack : str
        Why the last lease could not be had.
    """

    def __init__(self, run: str) -> None:
        self.lack = ""
        self._fd = -1
        self._free: list[Slot] = []
        self._made = 0
        self._limit = 0
        self._end = 0
        self._leases = 0
        self._failed_at = -RETRY_S
        if sys.byteorder == "big":  # pragma: no cover - the wire form is little-endian
            self.lack = "big-endian machine"
            return
        try:
            import fcntl  # not everywhere

            self._fd = os.memfd_create(memory_name(run), os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        except (AttributeError, ImportError, OSError) as error:  # no Linux; forbidden; too many open files
            self.close()
            self.lack = f"no shared memory: {_words(error)}"

    @property
    def address(self) -> tuple[int, int] | None:
        """Process and descriptor by which others find the memory; None if there is none."""
        return (os.getpid(), self._fd) if self._fd >= 0 else None

    def allow(self, frames: int) -> None:
        """Have slots for so many more frames at a time."""
        self._limit = min(MAX_SLOTS, self._limit + frames + SPARE)

    def lease(self, nbytes: int) -> Lease | None:
        """A slot of at least `nbytes`, or None: then `lack` says why."""
        slot = self._take(nbytes)
        if slot is None:
            return None
        self._leases += 1
        return Lease(self, slot, self._leases)

    def close(self) -> None:
        """Close the descriptor; what receivers have mapped stays with them."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._free.clear()

    def _take(self, nbytes: int) -> Slot | None:
        free = self._free
        for i in range(len(free) - 1, -1, -1):  # the one that came back last is the warmest
            if free[i].capacity >= nbytes:
                return free.pop(i)
        if self._fd < 0:
            return None
        if time.monotonic() - self._failed_at < RETRY_S:
            return None
        if self._made >= self._limit:
            if not free:
                self.lack = "no slot free: its receivers hold many frames"
                return None
            small = min(free, key=lambda slot: slot.capacity)
            free.remove(small)
            self._made -= 1
            with contextlib.suppress(OSError):
                small.memory.madvise(mmap.MADV_REMOVE)  # gives its pages back; its place is not used again
        return self._make(_rounded(nbytes))

    def _make(self, capacity: int) -> Slot | None:
        offset = self._end
        try:
            os.posix_fallocate(self._fd, offset, capacity)
            flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
            memory = mmap.mmap(self._fd, capacity, flags, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)
        except OSError as error:
            self._failed_at = time.monotonic()
            self.lack = f"no shared memory: {_words(error)}"
            return None
        self._end += capacity  # not before: what was reserved in vain is taken the next time
        self._made += 1
        return Slot(memory, offset, capacity)


def memory_name(run: str) -> str:
    """Name of the memory of a run's nodes, as ``/proc`` shows it."""
    return f"semstream {run}"


def run_of(endpoint: str) -> str:
    """Name of the run that an ipc endpoint belongs to: its private folder's."""
    return os.path.basename(os.path.dirname(endpoint.removeprefix("ipc://")))


def aligned(nbytes: int) -> int:
    """Bytes up to where the next array may begin."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _rounded(nbytes: int) -> int:
    """Capacity for frames of about that size: up to an eighth more, in whole pages."""
    step = max(mmap.PAGESIZE, 1 << max(0, nbytes.bit_length() - 4))
    return -(-nbytes // step) * step


def _words(error: Exception) -> str:
    code = errno.errorcode.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    return code or str(error)

"""Ledger: what came into a node, what came of it, and what of that is still outstanding.

    begin(taken) ... owe() ... owe() ... close()      settle(), later, for each that was owed

A unit of work is complete when it is closed and all is settled. Where the node keeps snapshots (`gathers`), complete
units wait for a snapshot that has them in it, else they are acknowledged at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

Key = tuple[str, int] | tuple[str, int, int]
"""A frame: (stream, seq). A gap: (stream, first, last)."""
Taken = tuple[str, Key]
"""The port that something came by, and what; no port: by whichever ports it came."""
SNAPSHOT_S = 0.005
"""Time between two snapshots, or 20 times as long as the last one took: they cost a twentieth of the time at most."""
SNAPSHOT_SHARE = 20


class Unit:
    """What came of one input."""

    __slots__ = ("closed", "number", "outstanding", "taken")

    def __init__(self, number: int, taken: list[Taken]) -> None:
        self.number = number
        self.taken = taken
        self.outstanding = 0
        self.closed = False


class Ledger:
    """Accounts of one node.

    Parameters
    ----------
    acknowledge
        Tells the senders that a unit is done with.
    gathers
        Whether units must be in a snapshot before they are acknowledged.

    Attributes
    ----------
    current : Unit or None
        What is being worked on.
    abandoned : bool
        Whether a receiver has gone for good, so that not all can be settled.
    """

    def __init__(self, acknowledge: Callable[[Unit], None], gathers: bool) -> None:
        self.current: Unit | None = None
        self.gathers = gathers
        self.abandoned = False
        self._acknowledge = acknowledge
        self._incomplete: dict[int, Unit] = {}
        self._complete: deque[Unit] = deque()
        self._number = 0
        self._fresh = 0
        self._next_s = 0.0
        self._snapshot: tuple[int, Any] | None = None

    def begin(self, taken: list[Taken]) -> Unit:
        """Begin to work on something."""
        self._number += 1
        unit = self.current = Unit(self._number, taken)
        self._incomplete[unit.number] = unit
        return unit

    def close(self) -> None:
        """All that comes of it has been given."""
        unit, self.current = self.current, None
        assert unit is not None
        unit.closed = True
        self._fresh += 1
        if not unit.outstanding:
            self._finish(unit)

    def cut_off(self) -> None:
        """What is being worked on is left where it is, and no snapshot is made any more that would have it in it."""
        unit, self.current = self.current, None
        assert unit is not None
        del self._incomplete[unit.number]
        self.gathers = False
        self._snapshot = None
        self._complete.clear()

    def leave_out(self, taken: list[Taken]) -> None:
        """Something came, and nothing comes of it."""
        self._number += 1
        self._fresh += 1
        unit = Unit(self._number, taken)
        unit.closed = True
        self._finish(unit)

    def owe(self) -> Unit | None:
        """One more is outstanding of what is being worked on."""
        unit = self.current
        if unit is not None:
            unit.outstanding += 1
        return unit

    def settle(self, unit: Unit | None) -> None:
        """One that was owed has arrived."""
        if unit is None:
            return
        unit.outstanding -= 1
        if unit.closed and not unit.outstanding:
            self._finish(unit)

    def _finish(self, unit: Unit) -> None:
        self._incomplete.pop(unit.number, None)
        if self.gathers:
            self._complete.append(unit)
        else:
            self._acknowledge(unit)

    # -- snapshots -------------------------------------------------------------------------------------------------

    def wait_s(self) -> float:
        """Seconds until a snapshot should be made: 0 is now, infinity that nothing asks for one."""
        if not self.gathers or not self._fresh or self._snapshot is not None or self.current is not None:
            return float("inf")
        return max(0.0, self._next_s - time.monotonic())

    def hold(self, snapshot: Any) -> None:
        """A snapshot of now, which is valid once all that is in it is complete."""
        self._snapshot = (self._number, snapshot)
        self._fresh = 0

    @property
    def valid(self) -> Any:
        """The snapshot, once it is valid; else None."""
        if self._snapshot is None:
            return None
        first = next(iter(self._incomplete), None)
        return self._snapshot[1] if first is None or first > self._snapshot[0] else None

    def commit(self, took_s: float) -> None:
        """The valid snapshot is written, which took so long: acknowledge what is in it."""
        self._next_s = time.monotonic() + max(SNAPSHOT_S, SNAPSHOT_SHARE * took_s)
        assert self._snapshot is not None
        last, later = self._snapshot[0], deque[Unit]()
        self._snapshot = None
        for unit in self._complete:
            if unit.number <= last:
                self._acknowledge(unit)
            else:
                later.append(unit)
        self._complete = later

    @property
    def clear(self) -> bool:
        """Whether nothing is outstanding and all is acknowledged."""
        return not (self._incomplete or self._complete or self._snapshot or (self.gathers and self._fresh))

"""Credit of a durable edge between hosts under ``credit="auto"``: acknowledgements measure the way.

An acknowledgement brings the receiver's own time to the sender, which sends it back at once, behind the frames that are
on their way. So the receiver knows the round trip by its own monotonic clock, as over other edges (`Way`).
"""

from __future__ import annotations

import time
from typing import Any

from semstream.runtime.edges.way import Way

ASK_NS = 20_000_000


class Pace:
    """Round trips of one link, and the credit that they ask for.

    Attributes
    ----------
    credit : int
        Frames that may be under way.
    """

    def __init__(self, credit: int) -> None:
        self.credit = credit
        self._way = Way()
        self._nbytes = 0
        self._asked = 0

    def question(self) -> dict[str, Any]:
        """What an acknowledgement says besides, if it is time to ask again."""
        now = time.monotonic_ns()
        if now - self._asked < ASK_NS:
            return {}
        self._asked = now
        return {"now": now}

    def on_answer(self, echo: Any) -> None:
        """The time of a question has come back."""
        now = time.monotonic_ns()
        if type(echo) is int and 0 < echo <= now:
            self._way.came(now, now - echo, self._nbytes)

    def on_frame(self, nbytes: int) -> None:
        """A frame has come."""
        self._nbytes = nbytes

    def more(self, owed: int) -> int:
        """By how much the credit changes with a frame that was taken; it is taken back from what is `owed` only."""
        self._way.took(time.monotonic_ns())
        change = max(self._way.credit(lossless=True) - self.credit, -owed) if self._way.least_ns else 0
        self.credit += change
        return change

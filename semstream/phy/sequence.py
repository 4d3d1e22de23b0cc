"""Numbers of frames that come over the air modulo 2¹⁶: how many were lost between two, or whether the sender is new."""

from __future__ import annotations

from typing import NamedTuple

MODULUS = 2**16


class Arrival(NamedTuple):
    """The whole number of a frame, how many were lost right before it, and whether numbers began anew with it."""

    number: int
    lost: int
    restarted: bool


class SequenceNumbers:
    """Unwraps numbers modulo 2¹⁶.

    Parameters
    ----------
    most_lost
        Largest jump forward that is taken for loss; a larger one, or one back, is a sender that was restarted.
    """

    def __init__(self, most_lost: int = 256) -> None:
        self._most_lost = most_lost
        self._last: int | None = None

    def arrive(self, seq: int) -> Arrival:
        """A frame of this number (modulo 2¹⁶) has come."""
        if self._last is None:
            self._last = seq
            return Arrival(seq, 0, False)
        lost = (seq - self._last - 1) % MODULUS
        if lost > self._most_lost:
            self._last = seq
            return Arrival(seq, 0, True)
        self._last += lost + 1
        return Arrival(self._last, lost, False)

"""Samples of a stream that are still needed, by their place in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.complex64]


class SampleBuffer:
    """A stream's newest samples; places count from its start, and before that there was silence.

    Attributes
    ----------
    begin, end : int
        Places of the first sample kept and behind the last one.
    """

    def __init__(self, silence: int) -> None:
        self.begin, self.end = -silence, 0
        self._kept = np.zeros(max(1024, 2 * silence), np.complex64)
        self._first = 0

    def append(self, samples: Samples) -> None:
        """Take the next samples (N,)."""
        held = self.end - self.begin
        needed = held + samples.size
        if self._first + needed > self._kept.size:  # moved to the front, in twice the room if that is too little
            room = self._kept if 2 * needed <= self._kept.size else np.zeros(4 * needed, np.complex64)
            room[:held] = self._kept[self._first : self._first + held].copy()
            self._kept, self._first = room, 0
        self._kept[self._first + held : self._first + needed] = samples
        self.end += samples.size

    def forget(self, before: int) -> None:
        """Let go of samples before a place."""
        step = min(max(0, before - self.begin), self.end - self.begin)
        self.begin += step
        self._first += step

    def view(self, begin: int, end: int) -> Samples:
        """Samples from one place to another, which are kept; not to be written to, and good until the next append."""
        return self._kept[self._first + begin - self.begin : self._first + end - self.begin]

"""Walk: while somebody watches, sweeps come to every SNR soon, so that there is a curve to look at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from semstream.runtime.errors import SettingsError

if TYPE_CHECKING:
    from semstream.runtime import Run

WALK_S = 5.0
"""Within so many seconds a watched sweep comes to all its SNRs: often enough that each meets many pictures soon."""
ALONE_S = 10.0


class Walk:
    """Sets ``within_s`` of a run's sweeps while viewers ask, and back when they have gone.

    Parameters
    ----------
    run
        The run; its sweeps are the blocks with a setting ``within_s`` that is 0.
    within_s
        What to set; 0 to leave sweeps alone.
    """

    def __init__(self, run: Run, within_s: float) -> None:
        self._run, self._within_s = run, within_s
        self._asked_at = -1e9
        self._walking = False
        names = run.graph.blocks if within_s else ()
        self._sweeps = [name for name in names if getattr(run.settings(name), "within_s", None) == 0]

    def asked(self) -> None:
        """A viewer has asked."""
        self._asked_at = time.monotonic()

    def keep(self) -> str:
        """Set what has to be set; what was done, in words. Waits for the end of a frame, so not in a hurry."""
        watched = time.monotonic() - self._asked_at < ALONE_S
        if watched == self._walking or not self._sweeps or self._run.finished:
            return ""
        for name in self._sweeps:
            if self._run.settings(name).within_s == (0 if watched else self._within_s):  # else somebody has chosen
                try:
                    self._run.set(name, timeout=2.0, within_s=self._within_s if watched else 0.0)
                except SettingsError:
                    return ""  # it still waits for those behind it to start: again, soon
        self._walking = watched
        if not watched:
            return "nobody watches: sweeps go by their frames again"
        return f"watched: sweeps come to all their SNRs within {self._within_s:g} s"

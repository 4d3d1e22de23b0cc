"""Restarts: when a run that has ended is started again, and after how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

When = Literal["never", "on-failure", "always"]


@dataclass(frozen=True)
class RestartPolicy:
    """When and how often a run is started again.

    Attributes
    ----------
    when
        ``never``, ``on-failure``, or ``always``, also after the end of the stream.
    limit
        Restarts in a row; the next failure is the last. 0: no limit.
    first_s, longest_s
        Wait before the first restart in a row, which doubles each time, up to the longest.
    settled_s
        A run that was ready for so long begins a new row.
    """

    when: When = "on-failure"
    limit: int = 10
    first_s: float = 0.5
    longest_s: float = 60.0
    settled_s: float = 60.0


class Restarts:
    """Counts restarts by a policy.

    Attributes
    ----------
    total : int
        Restarts so far.
    in_a_row : int
        Restarts since a run was last ready for long enough.
    """

    def __init__(self, policy: RestartPolicy) -> None:
        self.policy = policy
        self.total = self.in_a_row = 0

    def after(self, failed: bool, ready_s: float) -> float | None:
        """Seconds to wait until the next start; None if there is none.

        Parameters
        ----------
        failed
            Whether the run has failed, rather than come to its end.
        ready_s
            How long it was ready.
        """
        policy = self.policy
        if policy.when == "never" or (policy.when == "on-failure" and not failed):
            return None
        if ready_s >= policy.settled_s:
            self.in_a_row = 0
        if policy.limit and failed and self.in_a_row >= policy.limit:
            return None
        wait = min(policy.longest_s, policy.first_s * 2.0 ** min(self.in_a_row, 60))
        self.in_a_row += 1
        self.total += 1
        return wait if failed else min(wait, policy.first_s)

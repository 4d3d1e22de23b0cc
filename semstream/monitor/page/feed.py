"""Feed: one client of a monitor endpoint for all browsers of a page, and only while somebody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from semstream.monitor.client import MonitorClient
from semstream.runtime.graph.endpoints import CurveKeys

LEAST_S, MOST_S = 0.1, 1.0
SHARE = 0.06
SILENT_S = 1.5


class Pace:
    """Time between two updates: ten a second at most, fewer the longer they take, one a second at least.

    Updates take a share of the time, no more. Where the link fills the cores one takes long, as the page has the lower
    priority; then they come more rarely, and leave the cores to the link.
    """

    def __init__(self) -> None:
        self._took_s = 0.0

    def took(self, seconds: float) -> None:
        """An update has taken so long, asking for it and waiting for a core included."""
        self._took_s += 0.3 * (seconds - self._took_s)

    @property
    def period_s(self) -> float:
        """Seconds from one update to the next."""
        return min(MOST_S, max(LEAST_S, self._took_s / SHARE))


class Feed(threading.Thread):
    """Polls the newest snapshot while sessions are open, at the pace that the machine allows.

    Parameters
    ----------
    endpoint, curve
        Where to ask, and the keys for it.
    on_answer
        Called from this thread with each snapshot, or None where nobody answers.

    Attributes
    ----------
    pace : Pace
        To be told how long the use of a snapshot takes.
    """

    def __init__(
        self, endpoint: str, curve: CurveKeys | None, on_answer: Callable[[dict[str, Any] | None], None]
    ) -> None:
        super().__init__(name="semstream page feed", daemon=True)
        self.endpoint = endpoint
        self.pace = Pace()
        self._curve = curve
        self._on_answer = on_answer
        self._sessions = 0
        self._wanted: list[tuple[threading.Event, list[str], tuple[Any, ...]]] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._leave = threading.Event()

    def open_session(self) -> None:
        """A browser looks."""
        with self._lock:
            self._sessions += 1
        self._wake.set()

    def close_session(self) -> None:
        """It is gone."""
        with self._lock:
            self._sessions -= 1

    def command(self, *request: Any, timeout: float = 6.0) -> str:
        """Have something asked in between; waits for the answer, which is the error, if any.

        Parameters
        ----------
        *request
            ``("set", block, values, token)``, ``("pause", value, token)``, ``("check", token)``, or ``("poll",)`` for a
            snapshot at once.
        """
        done, answer = threading.Event(), [f"nobody answers at {self.endpoint}"]
        with self._lock:
            if self._leave.is_set():
                return answer[0]
            self._wanted.append((done, answer, request))
        self._wake.set()
        done.wait(timeout)
        return answer[0]

    def stop(self) -> None:
        """End the thread."""
        self._leave.set()
        self._wake.set()
        self.join(5)
        for done, _, _ in self._wanted:
            done.set()

    def run(self) -> None:
        """Poll until `stop`."""
        with MonitorClient(self.endpoint, self._curve) as client:
            due = 0.0
            while not self._leave.is_set():
                with self._lock:
                    wanted, self._wanted = self._wanted, []
                for done, answer, (op, *arguments) in wanted:
                    answer[0] = self._poll(client, 0.5) if op == "poll" else getattr(client, op)(*arguments)
                    done.set()
                    due = 0.0  # what was changed is shown soon
                if self._sessions and time.monotonic() >= due:
                    self._poll(client, SILENT_S)
                    due = time.monotonic() + self.pace.period_s
                self._wake.wait(max(0.0, due - time.monotonic()) if self._sessions else 1.0)
                self._wake.clear()

    def _poll(self, client: MonitorClient, timeout: float) -> str:
        begin = time.monotonic()
        snapshot = client.snapshot(timeout)
        if snapshot is not None:
            self.pace.took(time.monotonic() - begin)
        self._on_answer(snapshot)
        return "" if snapshot is not None else f"nobody answers at {self.endpoint}"

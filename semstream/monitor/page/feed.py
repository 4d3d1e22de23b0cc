"""Feed: one client of a monitor endpoint for all browsers of a page, and only while somebody looks."""

from __future__ import annotations

import threading
import time
from typing import Any

from semstream.monitor.client import MonitorClient
from semstream.runtime.graph.endpoints import CurveKeys

PERIOD_S = 0.1
SILENT_S = 1.5


class Feed(threading.Thread):
    """Polls the newest snapshot ten times a second while sessions are open.

    Attributes
    ----------
    latest : dict or None
        The newest snapshot, also after the link has gone.
    answered_at : float
        `time.monotonic` of the last answer.
    """

    def __init__(self, endpoint: str, curve: CurveKeys | None = None) -> None:
        super().__init__(name="semstream page feed", daemon=True)
        self.endpoint = endpoint
        self.latest: dict[str, Any] | None = None
        self.answered_at = -1e9
        self.sessions = 0
        self._curve = curve
        self._wanted: list[tuple[threading.Event, list[str], tuple[Any, ...]]] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._leave = threading.Event()

    @property
    def silent(self) -> bool:
        """Whether nobody has answered for a while."""
        return time.monotonic() - self.answered_at > SILENT_S

    def open_session(self) -> None:
        """A browser looks."""
        with self._lock:
            self.sessions += 1
        self._wake.set()

    def close_session(self) -> None:
        """It is gone."""
        with self._lock:
            self.sessions -= 1

    def command(self, *request: Any, timeout: float = 6.0) -> str:
        """Have a change made: ``("set", block, values, token)`` or ``("pause", value, token)``; the error, if any."""
        done, answer = threading.Event(), [f"nobody answers at {self.endpoint}"]
        with self._lock:
            self._wanted.append((done, answer, request))
        self._wake.set()
        done.wait(timeout)
        return answer[0]

    def stop(self) -> None:
        """End the thread."""
        self._leave.set()
        self._wake.set()
        self.join(5)

    def run(self) -> None:
        """Poll until `stop`."""
        with MonitorClient(self.endpoint, self._curve) as client:
            while not self._leave.is_set():
                with self._lock:
                    wanted, self._wanted = self._wanted, []
                for done, answer, (op, *arguments) in wanted:
                    answer[0] = client.set(*arguments) if op == "set" else client.pause(*arguments)
                    done.set()
                if not self.sessions and not wanted:
                    self._wake.wait(1.0)
                    self._wake.clear()
                    continue
                begin = time.monotonic()
                snapshot = client.snapshot(1.0)
                if snapshot is not None:
                    self.latest, self.answered_at = snapshot, time.monotonic()
                self._wake.wait(max(0.0, PERIOD_S - (time.monotonic() - begin)))
                self._wake.clear()

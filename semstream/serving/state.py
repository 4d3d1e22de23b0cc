"""ServiceState: how a service stands, for those who ask over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from semstream.monitor.snapshot import Watch

Phase = Literal["starting", "running", "waiting", "reloading", "stopping", "ended", "failed"]
SILENT_S = 10.0
"""A supervisor that has not looked after its run for so long is taken as stuck."""


class ServiceState:
    """Written by the supervisor, read by the HTTP server's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._phase: Phase = "starting"
        self._why = "the first run has not started yet"
        self._seen = self._began = time.monotonic()
        self.restarts = 0
        self.reloads = {"done": 0, "refused": 0}

    def set(self, phase: Phase, why: str = "") -> None:
        """Enter a phase; `why` it does not do its work there."""
        self._phase, self._why = phase, why

    def watch(self, watch: Watch) -> None:
        """The run to tell of, from now on."""
        with self._lock:
            self._watch = watch

    def alive(self) -> None:
        """The supervisor looks after its run."""
        self._seen = time.monotonic()

    @property
    def phase(self) -> Phase:
        """Where the service stands."""
        return self._phase

    def trim(self) -> None:
        """Count the records that have come and let go of them: a service runs for longer than memory lasts."""
        with self._lock:
            if self._watch is not None:
                self._watch.trim()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the service lives (restarting is living), and what to say."""
        silent = time.monotonic() - self._seen
        reason = ""
        if silent > SILENT_S:
            reason = f"the supervisor has not answered for {silent:.0f} s"
        elif self._phase in ("failed", "ended"):
            reason = self._why or self._phase
        return not reason, {"status": "unhealthy" if reason else "ok", "reason": reason, **self._facts()}

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether the flowgraph does its work now, and if not, why."""
        ready = self._phase == "running"
        return ready, {"status": "ready" if ready else "not ready", "reason": self._why, **self._facts()}

    def _facts(self) -> dict[str, Any]:
        return {
            "phase": self._phase,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "restarts": self.restarts,
            "reloads": dict(self.reloads),
        }

    def families(self) -> Iterator[Any]:
        """Prometheus' metric families: the run's own counters and the service's."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        from semstream.monitor.prometheus import families

        with self._lock:
            snapshot = self._watch.snapshot() if self._watch is not None else None
        if snapshot is not None:
            yield from families(snapshot)
        yield CounterMetricFamily("semstream_service_restarts", "runs started again", value=self.restarts)
        reloads = CounterMetricFamily("semstream_service_reloads", "files read again", labels=["result"])
        for result, count in self.reloads.items():
            reloads.add_metric([result], count)
        yield reloads
        for name, text, value in (
            ("ready", "1 while the flowgraph does its work", float(self._phase == "running")),
            ("uptime_seconds", "since the service has started", time.monotonic() - self._began),
        ):
            yield GaugeMetricFamily(f"semstream_service_{name}", text, value=value)

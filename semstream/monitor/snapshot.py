"""The state of a run as one plain value, for viewers.

A snapshot is a dict: v, run_id (new for each run), name, engine, seed, state ("running", "paused", "finished",
"failed", "interrupted"), failure, failed_block, duration (s), control (whether settings may be changed from outside),
number;

- blocks: {name: {class, replicas, inputs, outputs, counters (`Run.counters`), rate (frames/s), settings}}
- edges: [{name, from, to, policy, frames, bytes, drops, rate}]
- quality: [{branch, snr_db, n, psnr_db, ms_ssim, lpips ([mean, low, high] each or None), bits_per_feature, cbr}]
- last: the newest metric records, oldest first; latency_ms: the newest latencies
- shown: {block: {name: value}} of the probes; events: [{at, level, text}]
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from semstream.runtime.block.settings import is_live, unit_of

if TYPE_CHECKING:
    from semstream.runtime import Run

VERSION = 1
LAST_RECORDS = 200
LAST_LATENCIES = 2000
LAST_EVENTS = 200
MOST_ROWS = 1000
"""Rows of quality: SNRs that are measured, not set, may never come again."""
RATE_SPAN_S = 2.0
METRICS = ("psnr_db", "ms_ssim", "lpips")


class Mean:
    """Running mean with the 95 % interval of it."""

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, value: float) -> None:
        """Take one value (Welford's update)."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self._squares += step * (value - self.mean)

    def interval(self) -> list[float] | None:
        """[mean, low, high], or None without a value."""
        if not self.count:
            return None
        around = 1.96 * math.sqrt(self._squares / (self.count - 1) / self.count) if self.count > 1 else 0.0
        return [self.mean, self.mean - around, self.mean + around]


class Rates:
    """Frames a second of many counters over the last two seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, dict[str, int]]] = deque()

    def update(self, counts: dict[str, int], now: float | None = None) -> dict[str, float]:
        """Take new counts; the rate of each."""
        now = time.monotonic() if now is None else now
        self._seen.append((now, counts))
        while len(self._seen) > 2 and self._seen[1][0] < now - RATE_SPAN_S:
            self._seen.popleft()
        before, old = self._seen[0]
        span = now - before
        return {name: (n - old.get(name, 0)) / span if span > 0.05 else 0.0 for name, n in counts.items()}


class Events(logging.Handler):
    """The newest log records of semstream, and what the monitor itself notes."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.kept: deque[dict[str, Any]] = deque(maxlen=LAST_EVENTS)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a log record."""
        try:
            self.note(record.levelname.lower(), f"{record.name.removeprefix('semstream.')}: {record.getMessage()}")
        except Exception:
            self.handleError(record)

    def note(self, level: str, text: str) -> None:
        """Keep an event of one's own."""
        self.kept.append({"at": time.time(), "level": level, "text": text[:500]})


class Watch:
    """Follows a run and makes its snapshots, for any thread; costs nothing between two of them.

    Parameters
    ----------
    run
        The run; its records are read as they are, nothing is hooked into it.
    control
        Whether viewers may change settings.
    """

    def __init__(self, run: Run, control: bool = False) -> None:
        self.run = run
        self.control = control
        self.run_id = uuid.uuid4().hex
        self.events = Events()
        self.events.note("info", f"{run.graph.name} started, engine {run.engine}")
        self._read = dict.fromkeys(run.records, 0)
        self._quality: dict[tuple[str, float], dict[str, Any]] = {}
        self._last: deque[dict[str, Any]] = deque(maxlen=LAST_RECORDS)
        self._latencies: deque[float] = deque(maxlen=LAST_LATENCIES)
        self._rates = Rates()
        self._number = 0
        self._lock = threading.RLock()
        self._ended = ""
        self._initial = {name: run.settings(name) for name in run.graph.blocks}
        self._described: dict[str, tuple[Any, list[dict[str, Any]]]] = {}

    def snapshot(self) -> dict[str, Any]:
        """The newest state."""
        with self._lock:
            return self._snapshot()

    def follow(self) -> None:
        """Take note of what was published since: now and then, or the next snapshot has it all to do."""
        with self._lock:
            for block, records in self.run.records.items():
                for number, record in records.since(self._read[block]):
                    self._read[block] = number + 1
                    if isinstance(record.get("psnr_db"), (int, float)):
                        self._take(block, record)

    def _snapshot(self) -> dict[str, Any]:
        self.follow()
        self._number += 1
        run = self.run
        counters = run.counters()
        state = self._state()
        blocks = {name: self._block(name, counters["blocks"][name]) for name in run.graph.blocks}
        edges = [
            {
                "name": edge.name,
                "from": edge.sender.block.name if edge.sender else "",
                "to": edge.receiver.block.name if edge.receiver else "",
                **counters["edges"][edge.name],
            }
            for edge in run.graph.edges
        ]
        counts = {f"b {name}": _frames(block["counters"]) for name, block in blocks.items()}
        rates = self._rates.update(counts | {f"e {edge['name']}": edge["frames"] for edge in edges})
        for name, block in blocks.items():
            block["rate"] = rates[f"b {name}"]
        for edge in edges:
            edge["rate"] = rates[f"e {edge['name']}"]
        return {
            "v": VERSION,
            "run_id": self.run_id,
            "name": run.graph.name,
            "engine": run.engine,
            "seed": run.graph.seed,
            "state": state,
            "failure": str(run.failure or "")[:2000],
            "failed_block": (run.failure.block or "") if run.failure else "",
            "duration": run.duration,
            "control": self.control,
            "number": self._number,
            "blocks": blocks,
            "edges": edges,
            "quality": [self._row(key, means) for key, means in sorted(self._quality.items())],
            "last": list(self._last),
            "latency_ms": list(self._latencies),
            "shown": run.shown(),
            "events": list(self.events.kept),
        }

    def trim(self) -> None:
        """Take the records that have come and delete them from the run, for a run that must not grow."""
        with self._lock:
            self.follow()
            for block, records in self.run.records.items():
                records.forget(self._read[block])

    def _state(self) -> str:
        run = self.run
        if not run.finished:
            return "paused" if run.held else "running"
        state = "failed" if run.failure else "interrupted" if run.interrupted else "finished"
        if not self._ended:
            self._ended = state
            self.events.note(
                "error" if run.failure else "info", f"{state}{': ' + str(run.failure) if run.failure else ''}"
            )
        return state

    def _take(self, block: str, record: dict[str, Any]) -> None:
        self._last.append({"block": block, **record})
        latency = record.get("latency_ms")
        if isinstance(latency, (int, float)):
            self._latencies.append(float(latency))
        snr = record.get("snr_db")
        key = (str(record.get("branch", block)), float(snr) if isinstance(snr, (int, float)) else math.inf)
        if key not in self._quality and len(self._quality) >= MOST_ROWS:
            del self._quality[next(iter(self._quality))]
        means = self._quality.setdefault(key, {name: Mean() for name in (*METRICS, "bits_per_feature", "cbr")})
        for name, mean in means.items():
            value = record.get(name)
            if isinstance(value, (int, float)) and math.isfinite(value):
                mean.add(float(value))

    def _row(self, key: tuple[str, float], means: dict[str, Mean]) -> dict[str, Any]:
        row: dict[str, Any] = {"branch": key[0], "snr_db": key[1], "n": means["psnr_db"].count}
        row |= {name: means[name].interval() for name in METRICS}
        return row | {name: means[name].mean if means[name].count else None for name in ("bits_per_feature", "cbr")}

    def _block(self, name: str, counters: dict[str, Any]) -> dict[str, Any]:
        block = self.run.graph.blocks[name]
        return {
            "class": type(block).__name__,
            "replicas": self.run.graph.replicas[name],
            "inputs": {port: value.type.name for port, value in block.inputs.items()},
            "outputs": {port: value.type.name for port, value in block.outputs.items()},
            "counters": counters,
            "settings": self._settings(name),
        }

    def _settings(self, name: str) -> list[dict[str, Any]]:
        settings = self.run.settings(name)
        if name not in self._described or self._described[name][0] is not settings:  # they are frozen: new when changed
            self._described[name] = settings, describe_settings(settings, self._initial[name])
        return self._described[name][1]


def _frames(counters: dict[str, Any]) -> int:
    """Frames that a block has dealt with: given where it gives any, else taken by its busiest port."""
    given = counters["frames_out"].values()
    return max(given, default=0) or max(counters["frames_in"].values(), default=0)


def describe_settings(settings: Any, initial: Any = None) -> list[dict[str, Any]]:
    """Settings as a viewer needs them: name, value, kind, unit, description, live, minimum, maximum, choices, initial.

    Parameters
    ----------
    initial
        The settings that the run began with; None: `settings`.
    """
    from typing import Literal, get_args, get_origin

    described = []
    for name, field in type(settings).model_fields.items():
        row: dict[str, Any] = {"name": name, "value": _plain(settings, name)}
        row |= {"unit": unit_of(field), "live": is_live(field), "initial": _plain(initial or settings, name)}
        row["description"] = field.description or ""
        limits = {
            key: getattr(limit, key)
            for limit in field.metadata
            for key in ("ge", "gt", "le", "lt")
            if getattr(limit, key, None) is not None
        }
        row["minimum"] = limits.get("ge", limits.get("gt"))
        row["maximum"] = limits.get("le", limits.get("lt"))
        row["choices"] = list(get_args(field.annotation)) if get_origin(field.annotation) is Literal else []
        kinds = {bool: "boolean", int: "integer", float: "number"}
        row["kind"] = "choice" if row["choices"] else kinds.get(field.annotation or str, "text")
        described.append(row)
    return described


def _plain(settings: Any, name: str) -> Any:
    value = getattr(settings, name)
    plain = isinstance(value, (bool, int, float, str, type(None)))
    return value if plain else settings.model_dump(mode="json", include={name})[name]

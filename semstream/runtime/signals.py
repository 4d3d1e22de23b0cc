"""Ctrl-C and SIGTERM while a run is waited for."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from semstream.runtime.run import Run


class StopSignals:
    """While a run is waited for, Ctrl-C and SIGTERM stop it; a second Ctrl-C interrupts as usual."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._caught: int | None = None
        self._before: dict[int, Any] = {}

    def attach(self, run: Run) -> None:
        """The run to stop."""
        self._run = run
        if self._caught is not None:
            run.interrupt(self._caught)

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._caught is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._caught = number
        if self._run is not None:
            self._run.interrupt(number)

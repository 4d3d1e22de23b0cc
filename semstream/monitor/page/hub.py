"""Hub: renders each snapshot once and gives what is new to every browser."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from semstream.monitor.page.feed import Feed
from semstream.monitor.page.steering import Steering
from semstream.monitor.page.view import View
from semstream.runtime.graph.endpoints import CurveKeys


class Browser(Protocol):
    """What the hub knows of a browser."""

    looked_at: set[str]
    """Branches whose channel it shows."""

    def give(self, text: str) -> None:
        """Send it a message, some time; one that is too far behind gets `Hub.whole` in its place."""

    def waiting(self) -> bool:
        """Whether a message is still under way to it."""

    def begin_anew(self) -> None:
        """Another run is shown from now on: its token may be another."""


class Hub:
    """All browsers of a page and what they are shown. For one thread, that of the event loop, except where noted."""

    def __init__(self, endpoint: str, curve: CurveKeys | None = None, begun: Callable[[], Any] | None = None) -> None:
        self._begun = begun
        self.feed = Feed(endpoint, curve, self._on_answer)
        self.view: View | None = None
        self.newest: dict[str, Any] | None = None
        self.steering = Steering(self.command, lambda: self.newest)
        self._browsers: set[Browser] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._silent = False
        self._whole = ""

    def start(self) -> None:
        """Begin to ask for snapshots."""
        self._loop = asyncio.get_running_loop()
        self.feed.start()

    async def close(self) -> None:
        """Show the newest state, which may be the end of the run, to all; then no more."""
        loop = asyncio.get_running_loop()
        if self._browsers:
            await loop.run_in_executor(None, lambda: self.feed.command("poll", timeout=0.7))
            await asyncio.sleep(0)  # `show` was put behind this
            self._tell({"over": True})
        await loop.run_in_executor(None, self.feed.stop)

    async def delivered(self) -> None:
        """Until all browsers have taken what they were sent."""
        while any(browser.waiting() for browser in self._browsers):
            await asyncio.sleep(0.01)

    def join(self, browser: Browser) -> None:
        """A browser has come."""
        self._browsers.add(browser)
        browser.give(self.whole())
        self.feed.open_session()

    def leave(self, browser: Browser) -> None:
        """It is gone."""
        if browser in self._browsers:
            self._browsers.discard(browser)
            self.feed.close_session()

    def whole(self) -> str:
        """All that stands on the page now, as a message."""
        if self.view is None:
            return encoded({"waiting": f"waiting for a flowgraph at {self.feed.endpoint} (start it with --monitor)"})
        if not self._whole:
            self._whole = encoded(self.view.whole() | {"silent": self._silent})
        return self._whole

    async def command(self, *request: Any) -> str:
        """`Feed.command`, awaited."""
        return await asyncio.get_running_loop().run_in_executor(None, lambda: self.feed.command(*request))

    def _on_answer(self, snapshot: dict[str, Any] | None) -> None:
        """Called from the feed's thread, which asks no further until the page has shown what it got."""
        assert self._loop is not None
        shown = threading.Event()

        def show() -> None:
            try:
                self.show(snapshot)
            finally:
                shown.set()

        self._loop.call_soon_threadsafe(show)
        shown.wait(5.0)

    def show(self, snapshot: dict[str, Any] | None) -> None:
        """Show a snapshot, or that nobody answers."""
        if snapshot is None:
            if not self._silent and self.view is not None:
                self._silent, self._whole = True, ""
                self._tell({"silent": True})
            return
        begin = time.monotonic()
        message: dict[str, Any] = {}
        if self._silent:
            self._silent, self._whole = False, ""
            message["silent"] = False
        anew = self.view is None or self.view.run_id != snapshot["run_id"]
        same = not anew and self.newest is not None and self.newest["number"] == snapshot["number"]
        self.newest = snapshot
        if anew:
            self.steering.stop_sweep()
            self.view, self._whole = View(snapshot), ""
            for browser in self._browsers:
                browser.give(self.whole())
                browser.begin_anew()
            if self._begun is not None:
                self._begun()
                self._begun = None
        elif not same:
            assert self.view is not None
            looked_at = set().union(*(browser.looked_at for browser in self._browsers))
            ended = snapshot["state"] not in ("running", "paused")
            parts = self.view.update(snapshot, looked_at, whole=ended)
            patch = self.view.take_patch()
            message |= {"parts": parts} if parts else {}
            message |= {"patch": patch} if patch else {}
            message |= {"sweeping": self.steering.sweeping}
            self._whole = ""
        if message:
            self._tell(message)
        self.feed.pace.took(time.monotonic() - begin)

    def _tell(self, message: dict[str, Any]) -> None:
        text = encoded(message)
        for browser in list(self._browsers):
            browser.give(text)


def encoded(message: dict[str, Any]) -> str:
    """A message as JSON; infinite numbers as Bokeh writes them are strings, ours are made so."""
    import json

    return json.dumps(_finite(message), ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    """The value with infinite and undefined numbers as the words that the page reads: inf, -inf, nan."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value

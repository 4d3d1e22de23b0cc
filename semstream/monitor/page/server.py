"""The page's server: one page, its parts out of installed packages, and a WebSocket to each browser.

    MonitorService ── Feed (one client, only while somebody looks) ── Hub (renders once) ──┬── browser
                                                                                            └── browser …

Everything comes from this server: no request leaves the machine. It runs in a process of its own, at a low
priority, and asks only for the newest state, so that browsers, however slow, cannot hold up the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import bokeh.plotting  # the plots' own import, before the first browser waits for it
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from semstream.monitor.page import style
from semstream.monitor.page.hub import Hub, encoded
from semstream.runtime import CurveKeys, FlowgraphError
from semstream.runtime.frames.wire import is_deeper, pack
from semstream.runtime.graph.endpoints import check_endpoint

DEFAULT_PORT = 5006
STATIC = Path(__file__).parent / "static"
SCRIPTS = ("bokeh.min.js", "bokeh-widgets.min.js")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
MAX_MESSAGE_BYTES = 2**16
MAX_NESTING = 20
MOST_WAITING = 30
"""Messages that a slow browser may be behind; then it gets the whole page in their place."""


def may_ask(host: str) -> bool:
    """Whether a page under this name may ask: of loopback alone, so that no foreign site reads it by DNS rebinding."""
    return host.lower() in LOOPBACK


def request_of(message: str | bytes) -> dict[str, Any]:
    """The request that a browser has sent.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        request = json.loads(message)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(request, dict):
        raise ValueError("expected an object")
    if is_deeper(request, MAX_NESTING):
        raise ValueError("nested too deep")
    try:
        pack(request)
    except (TypeError, ValueError, OverflowError):  # half a character; a number of more than 64 bits
        raise ValueError("it holds what cannot be sent on to the flowgraph") from None
    return request


class Page(RequestHandler):
    """The page itself, without data: those come over the WebSocket."""

    def get(self) -> None:
        """Send it."""
        if not may_ask(self.request.host_name):
            raise HTTPError(403)
        colours = "".join(f"--{name}: {colour};" for name, colour in style.PALETTE.items())
        scripts = "".join(f"<script src='bokeh/{name}'></script>" for name in SCRIPTS)
        text = (STATIC / "page.html").read_text(encoding="utf-8")
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
            f"connect-src 'self' ws://{html.escape(self.request.host)}; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'",
        )
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        self.finish(text.replace("{{colours}}", colours).replace("{{scripts}}", scripts))


class Static(StaticFileHandler):
    """Files of this package or of Bokeh's."""

    def prepare(self) -> None:
        """Refuse who may not ask."""
        if not may_ask(self.request.host_name):
            raise HTTPError(403)


class Outbox:
    """Messages on their way to one browser, in order.

    Parameters
    ----------
    whole
        Gives the whole page as a message, for a browser that is too far behind.
    """

    def __init__(self, whole: Callable[[], str]) -> None:
        self._whole = whole
        self._waiting: deque[str] = deque()
        self._more = asyncio.Event()
        self._sending = False

    @property
    def busy(self) -> bool:
        """Whether a message is still under way."""
        return bool(self._waiting) or self._sending

    def put(self, text: str) -> None:
        """Send a message, some time."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
            text = self._whole()
        self._waiting.append(text)
        self._more.set()

    async def deliver(self, send: Callable[[str], Awaitable[Any]]) -> None:
        """Send messages for ever; `send` returns once the browser's socket has taken one."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                self._sending = True
                await send(self._waiting.popleft())
            self._sending = False


class Live(WebSocketHandler):
    """One browser: gets what is new, sends what is to be changed."""

    def initialize(self, hub: Hub) -> None:
        """Take the hub."""
        self.looked_at: set[str] = set()
        self._hub = hub
        self._token: str | None = None  # until it says hello
        self._outbox = Outbox(hub.whole)
        self._tasks: set[asyncio.Task[None]] = set()

    def check_origin(self, origin: str) -> bool:
        """Pages of this server alone, under whatever port a tunnel gives it."""
        host = origin.partition("://")[2]
        return host == self.request.host and may_ask(self.request.host_name)

    def prepare(self) -> None:
        """Refuse who may not ask."""
        if not may_ask(self.request.host_name):
            raise HTTPError(403)

    def open(self, *_: str, **__: str) -> None:
        """A browser has come."""
        self.set_nodelay(True)
        self._do(self._deliver())
        self._hub.join(self)

    def on_close(self) -> None:
        """It is gone."""
        self._hub.leave(self)
        for task in self._tasks:
            task.cancel()

    def give(self, text: str) -> None:
        """Send a message, some time."""
        self._outbox.put(text)

    def waiting(self) -> bool:
        """Whether a message is still under way to this browser."""
        return self._outbox.busy

    def begin_anew(self) -> None:
        """Another run is shown: say whether this browser may steer it."""
        self._do(self._say_access())

    def on_message(self, message: str | bytes) -> None:
        """Take a request; what is none is answered so."""
        try:
            request = request_of(message)
        except ValueError as error:
            self.give(encoded({"reply": 0, "error": f"not a request that this page knows: {error}"}))
            return
        if request.get("op") == "hello":
            self._token = str(request.get("token") or "")
            self._do(self._say_access())
        elif request.get("op") == "look":
            branches = request.get("branches")
            self.looked_at = {str(branch) for branch in branches} if isinstance(branches, list) else set()
        else:
            self._do(self._answer(request))

    def _do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self) -> None:
        with contextlib.suppress(WebSocketClosedError):
            await self._outbox.deliver(self.write_message)

    async def _answer(self, request: dict[str, Any]) -> None:
        error, done = await self._hub.steering.do(request | {"token": self._token or ""})
        self.give(encoded({"reply": request.get("id", 0), "error": error, "done": "" if error else done}))

    async def _say_access(self) -> None:
        """Say in words whether this browser's token allows changes."""
        if self._hub.newest is None or self._token is None:
            return
        if not self._hub.newest["control"]:
            why = "This page only shows: start the flowgraph with --control to steer it."
        elif not self._token:
            why = "Read only: this address has no token. Open the one that the command printed, with ?token= in it."
        elif error := await self._hub.command("check", self._token):
            wrong = "Read only: the token in this address is not this run's. Open the address that the command printed."
            why = wrong if error.startswith("wrong token") else f"Read only: {error}."
        else:
            why = ""
        self.give(encoded({"access": not why, "why": why}))


class PageServer:
    """The page at a port of loopback.

    Parameters
    ----------
    endpoint
        Monitor endpoint of the run.
    port
        TCP port on loopback; 0 for a free one.
    curve
        CURVE keys for an endpoint that wants them.

    Raises
    ------
    FlowgraphError
        If the port is in use, or the endpoint malformed.
    """

    def __init__(self, endpoint: str, port: int = DEFAULT_PORT, curve: CurveKeys | None = None) -> None:
        check_endpoint("monitor", "endpoint", endpoint)
        self._endpoint, self._curve = endpoint, curve
        try:
            self._sockets = bind_sockets(port, "127.0.0.1", family=socket.AF_INET)
        except OSError as error:
            raise FlowgraphError(
                f"page port {port}: cannot listen there ({error.strerror or error}); "
                "name another one, or 0 for a free one"
            ) from None
        self.port: int = self._sockets[0].getsockname()[1]

    def address(self, token: str = "") -> str:
        """Where a browser finds the page; with a token it may steer."""
        return f"http://127.0.0.1:{self.port}/{'?token=' + token if token else ''}"

    async def serve(self, until: Callable[[], Awaitable[Any]], begun: Callable[[], Any] | None = None) -> None:
        """Serve until something has come; then show browsers the newest state once more, and leave.

        Parameters
        ----------
        begun
            Called when a run is shown for the first time.
        """
        logging.getLogger("tornado.access").setLevel(logging.ERROR)
        hub = Hub(self._endpoint, self._curve, begun)
        application = Application(
            [
                ("/", Page),
                ("/live", Live, {"hub": hub}),
                ("/static/(.*)", Static, {"path": str(STATIC)}),
                ("/bokeh/(.*)", Static, {"path": str(Path(bokeh.__file__).parent / "server" / "static" / "js")}),
            ],
            websocket_max_message_size=MAX_MESSAGE_BYTES,
        )
        server = HTTPServer(application)
        server.add_sockets(self._sockets)
        hub.start()
        try:
            await until()
        finally:
            server.stop()
            await hub.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(hub.delivered(), 0.5)
            await server.close_all_connections()


def serve(endpoint: str, port: int = DEFAULT_PORT, token: str = "", curve: CurveKeys | None = None) -> None:
    """Serve the page until Ctrl-C; prints its address first, with the token, if there is one.

    Raises
    ------
    FlowgraphError
        As for `PageServer`.
    """
    server = PageServer(endpoint, port, curve)
    print(f"watch{' and steer' if token else ''} at {server.address(token)}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server.serve(asyncio.Event().wait))

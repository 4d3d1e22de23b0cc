"""The live page: a Bokeh server that shows a run in browsers, and steers it where that is allowed.

    MonitorService ── Feed (one client, only while somebody looks) ── a document a browser, ten updates a second

Everything comes from this server: no request leaves the machine. It runs in a process of its own, at low priority, and
asks only for the newest state, so that browsers, however slow, cannot hold up the link.
"""

from __future__ import annotations

import html
import logging
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from semstream.monitor.page import style
from semstream.monitor.page.feed import Feed
from semstream.runtime import CurveKeys, FlowgraphError

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.server.server import Server

PERIOD_MS = 100
SLOW_EVERY = 3
DEFAULT_PORT = 5006
STATE_COLOURS = {"running": style.GOOD, "paused": style.WARN, "finished": style.BRANCHES[0], "failed": style.BAD}


class View:
    """One browser's document."""

    def __init__(self, document: Document, feed: Feed, token: str) -> None:
        from bokeh.layouts import column
        from bokeh.models.css import InlineStyleSheet
        from bokeh.models.layouts import TabPanel, Tabs
        from bokeh.models.widgets import Div, Select

        from semstream.monitor.page.controls import Controls
        from semstream.monitor.page.flow import FlowPanel
        from semstream.monitor.page.link import ChannelPlots, PicturesPanel
        from semstream.monitor.page.quality import METRICS, Expected, LatencyPlot, QualityPlot, TimePlot

        self._document, self._feed = document, feed
        self._run_id, self._number, self._ticks = "", -1, 0
        self._expected = Expected()
        text = InlineStyleSheet(css=style.TEXT_CSS)
        self._head = Div(text="", stylesheets=[text], sizing_mode="stretch_width")
        self._table = Div(text="", stylesheets=[text], sizing_mode="stretch_width")
        self._log = Div(text="", stylesheets=[text], sizing_mode="stretch_width")
        self._quality = {name: QualityPlot(name) for name in METRICS}
        self._time, self._latency = TimePlot(), LatencyPlot()
        self._pictures, self._channel, self._flow = PicturesPanel(), ChannelPlots(), FlowPanel()
        self._controls = Controls(feed.command, self._later, token)
        self._branch = Select(
            title="branch", options=[], stylesheets=[InlineStyleSheet(css=style.WIDGET_CSS)], width=180
        )
        tabs = Tabs(
            tabs=[TabPanel(child=q.plot, title=METRICS[n].split(" (")[0]) for n, q in self._quality.items()],
            sizing_mode="stretch_width", stylesheets=[InlineStyleSheet(css=style.WIDGET_CSS)],
        )  # fmt: skip

        def panel(child: Any, columns: int) -> Any:
            return column(
                child, sizing_mode="stretch_width", stylesheets=[InlineStyleSheet(css=style.panel_css(columns))]
            )

        grid = column(
            panel(tabs, 5), panel(column(self._branch, self._pictures.div, sizing_mode="stretch_width"), 7),
            panel(self._time.plot, 4), panel(self._channel.constellation, 4), self._controls.panel,
            panel(self._flow.panel, 12),
            panel(self._channel.gains, 4), panel(self._channel.bits, 4), panel(self._latency.plot, 4),
            panel(self._table, 8), panel(self._log, 4),
            sizing_mode="stretch_width", stylesheets=[InlineStyleSheet(css=style.GRID_CSS)],
        )  # fmt: skip
        root = column(self._head, grid, sizing_mode="stretch_width", stylesheets=[InlineStyleSheet(css=style.ROOT_CSS)])
        document.add_root(root)
        document.title = "semstream"
        document.template = TEMPLATE  # type: ignore[assignment]  # text is taken too
        document.add_periodic_callback(self.update, PERIOD_MS)
        document.on_session_destroyed(lambda _context: feed.close_session())
        feed.open_session()
        self.update()

    def _later(self, function: Any) -> None:
        self._document.add_next_tick_callback(function)

    def _choices(self, snapshot: dict[str, Any]) -> None:
        from semstream.monitor.page.link import branches

        names: Any = branches(snapshot)
        if names != self._branch.options:
            self._branch.options = names
        if names and self._branch.value not in names:
            self._branch.value = names[0]

    def _index(self) -> int:
        options: Any = self._branch.options
        return options.index(self._branch.value) if self._branch.value in options else 0

    def update(self) -> None:
        """Show the newest snapshot."""
        snapshot = self._feed.latest
        self._head.text = heading(snapshot, self._feed)
        if snapshot is None or (snapshot["run_id"], snapshot["number"]) == (self._run_id, self._number):
            return
        if snapshot["run_id"] != self._run_id:
            for quality in self._quality.values():
                quality.clear()
            self._time.clear()
            self._ticks = 0
        self._run_id, self._number = snapshot["run_id"], snapshot["number"]
        for plot in self._quality.values():
            plot.update(snapshot, self._expected.rows(snapshot))
        self._time.update(snapshot)
        self._channel.update(snapshot, self._index())
        if self._ticks % SLOW_EVERY == 0:  # what nobody reads ten times a second
            self._choices(snapshot)
            self._pictures.update(snapshot, self._index())
            self._flow.update(snapshot)
            self._latency.update(snapshot)
            self._controls.update(snapshot)
            self._table.text = edges_table(snapshot)
            self._log.text = log_of(snapshot)
        self._ticks += 1


TEMPLATE = (
    "{% block postamble %}<meta name='viewport' content='width=device-width, initial-scale=1'>"
    f"<style>{style.PAGE_CSS}</style>{{% endblock %}}"
)


def heading(snapshot: dict[str, Any] | None, feed: Feed) -> str:
    """Name and state of the run, or that nobody answers."""
    if snapshot is None:
        where = html.escape(feed.endpoint)
        return f"<h1>semstream</h1> <span class=dim>waiting for a flowgraph at {where} (start it with --monitor)</span>"
    state = snapshot["state"]
    if feed.silent:
        state = "finished, link gone" if state in ("finished", "failed", "interrupted") else "link gone"
    colour = STATE_COLOURS.get(state, style.DIM)
    newest = snapshot["last"][-1] if snapshot["last"] else {}
    snr = newest.get("snr_db")
    facts = [f"{snapshot['duration']:.1f} s", f"engine {snapshot['engine']}", f"seed {snapshot['seed']}"]
    if isinstance(snr, (int, float)):
        facts.insert(0, f"SNR {snr:g} dB over {newest.get('channel')}")
    failure = f"<div style='color:{style.BAD}'>{html.escape(snapshot['failure'])}</div>" if snapshot["failure"] else ""
    return (
        f"<h1>{html.escape(snapshot['name'])}</h1><span class=pill style='background:{colour}'>{state}</span> "
        f"<span class=dim>&nbsp; {' · '.join(html.escape(fact) for fact in facts)}</span>{failure}"
    )


def edges_table(snapshot: dict[str, Any]) -> str:
    """Edges with rates and drops, as HTML."""
    rows = "".join(
        f"<tr><td>{html.escape(edge['name'])}</td><td>{edge['policy']}</td><td>{edge['frames']}</td>"
        f"<td>{edge['rate']:.1f}</td><td>{edge['bytes'] / 1e6:.1f}</td><td>{sum(edge['drops'].values())}</td></tr>"
        for edge in snapshot["edges"]
        if not edge["to"].endswith((".probe", ".view"))
    )
    head = "".join(f"<th>{name}</th>" for name in ("edge", "policy", "frames", "frames/s", "MB", "dropped"))
    return f"<h2>Edges</h2><div class=scroll><table><tr>{head}</tr>{rows}</table></div>"


def log_of(snapshot: dict[str, Any]) -> str:
    """The newest events first, as HTML."""
    colours = {"warning": style.WARN, "error": style.BAD, "critical": style.BAD}
    lines = "".join(
        f"<div style='color:{colours.get(event['level'], style.TEXT)}'>"
        f"<span class=dim>{time.strftime('%H:%M:%S', time.localtime(event['at']))}</span> "
        f"{html.escape(event['text'])}</div>"
        for event in reversed(snapshot["events"])
    )
    return f"<h2>Events</h2><div class=log>{lines}</div>"


def make_server(
    endpoint: str, port: int = DEFAULT_PORT, token: str = "", curve: CurveKeys | None = None
) -> tuple[Server, Feed]:
    """The page's server, not yet serving, and its feed.

    Parameters
    ----------
    endpoint
        Monitor endpoint of the run.
    port
        TCP port on loopback; 0 for a free one.
    token
        Given to the controls of every browser that opens the page; without it a browser may type it, or have it in the
        address as ``?token=``.

    Raises
    ------
    FlowgraphError
        If the port is in use, or the endpoint malformed.
    """
    from bokeh.application import Application
    from bokeh.application.handlers.function import FunctionHandler
    from bokeh.server.server import Server

    from semstream.runtime.graph.endpoints import check_endpoint

    check_endpoint("monitor", "endpoint", endpoint)
    feed = Feed(endpoint, curve)

    def fill(document: Document) -> None:
        context: Any = document.session_context
        request = context.request if context else None
        given = request.arguments.get("token", [b""])[0].decode() if request else ""
        View(document, feed, given or token)

    port = port or free_port()
    for name in ("bokeh", "tornado.access"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        server = Server(
            {"/": Application(FunctionHandler(fill))}, port=port, address="127.0.0.1",
            allow_websocket_origin=[f"127.0.0.1:{port}", f"localhost:{port}"],
            check_unused_sessions_milliseconds=2000, unused_session_lifetime_milliseconds=5000,
        )  # fmt: skip
    except OSError as error:
        raise FlowgraphError(
            f"page port {port}: cannot listen there ({error.strerror or error}); name another one, or 0 for a free one"
        ) from None
    return server, feed


def free_port() -> int:
    """A port of loopback that nobody has; Bokeh must know its own before it listens, to check who connects."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(endpoint: str, port: int = DEFAULT_PORT, token: str = "", curve: CurveKeys | None = None) -> None:
    """Serve the page until interrupted; prints its address first.

    Raises
    ------
    FlowgraphError
        As for `make_server`.
    """
    server, feed = make_server(endpoint, port, token, curve)
    feed.start()
    server.start()
    print(f"watch at http://127.0.0.1:{server.port}/", flush=True)
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
        feed.stop()


def main() -> None:
    """``python -m semstream.monitor.page ENDPOINT PORT``: the page beside a flowgraph, ends when its input closes.

    The token, if any, is the first line of standard input: a command line can be read by others.
    """
    import threading

    os.nice(10)
    token = sys.stdin.readline().strip()

    def leave_with_owner() -> None:
        while sys.stdin.read(1024):
            pass
        os._exit(0)

    threading.Thread(target=leave_with_owner, daemon=True).start()
    try:
        serve(sys.argv[1], int(sys.argv[2]), token)
    except FlowgraphError as error:
        print(f"error: {error}", flush=True)
        raise SystemExit(1) from None

"""View: what the page shows of one run, rendered once for all browsers: plots, HTML, controls."""

from __future__ import annotations

import html
import time
from collections.abc import Collection
from contextlib import nullcontext
from typing import Any

from semstream.monitor.page import controls, style
from semstream.monitor.page.band import band_of
from semstream.monitor.page.expected import read_expected
from semstream.monitor.page.flow import FlowDrawing
from semstream.monitor.page.link import ChannelPlots, channel_probes
from semstream.monitor.page.pictures import Pictures
from semstream.monitor.page.quality import METRICS, LatencyPlot, QualityPlot, TimePlot, weights_of

SLOW_EVERY = 3
ENDED = {"finished": "ended", "failed": "failed", "interrupted": "stopped"}
STATE_COLOURS = {
    "running": style.GOOD, "paused": style.WARN, "finished": style.BRANCHES[0], "failed": style.BAD,
    "interrupted": style.WARN,
}  # fmt: skip


class View:
    """The page of one run: a Bokeh document of plots, and parts in HTML.

    Attributes
    ----------
    run_id : str
        Of the run that is shown.
    roots : dict of str to str
        The plots' place on the page and their id in the document.
    """

    def __init__(self, snapshot: dict[str, Any]) -> None:
        from bokeh.document import Document

        self.run_id: str = snapshot["run_id"]
        self.document = Document()
        self.document.on_change(self._on_change)
        self._events: list[Any] = []
        weights = weights_of(snapshot)
        self._expected = [] if weights is None else read_expected(weights)
        self._quality = {name: QualityPlot(name) for name in METRICS}
        self._time, self._latency = TimePlot(), LatencyPlot()
        self._pictures, self._flow = Pictures(), FlowDrawing()
        self._channels = {branch: ChannelPlots(probe) for branch, probe in channel_probes(snapshot).items()}
        plots = {f"quality {name}": quality.plot for name, quality in self._quality.items()}
        plots |= {"time": self._time.plot, "latency": self._latency.plot}
        for branch, channel in self._channels.items():
            plots[f"constellation {branch}"] = channel.constellation
            plots[f"gains {branch}"] = channel.gains
            plots[f"bits {branch}"] = channel.bits
        self.roots = {place: plot.id for place, plot in plots.items()}
        self.branches = list(self._channels)
        self._parts: dict[str, Any] = {}
        self._named: set[str] = set()
        self._ticks = 0
        self.update(snapshot, self.branches, whole=True)
        with self.document.models.freeze():  # Bokeh walks over all models after every change of what belongs to what
            for plot in plots.values():
                self.document.add_root(plot)

    def update(self, snapshot: dict[str, Any], looked_at: Collection[str], whole: bool = False) -> dict[str, Any]:
        """Show a snapshot.

        Parameters
        ----------
        looked_at
            Branches whose channel some browser shows.
        whole
            Whether to renew also what is renewed less often.

        Returns
        -------
        The parts that have changed, by name: HTML, controls.
        """
        parts: dict[str, Any] = {"head": heading(snapshot), "state": state_of(snapshot)}
        named = {row["branch"] for row in snapshot["quality"]}
        # Lines of a new branch come at once: Bokeh walks over all models after every change of what belongs to what.
        with nullcontext() if named <= self._named else self.document.models.freeze():
            for plot in self._quality.values():
                plot.update(snapshot, self._expected)
            self._time.update(snapshot)
        self._named |= named
        for branch, channel in self._channels.items():
            if whole or branch in looked_at:
                channel.update(snapshot)
        parts["controls"] = controls.main_controls(snapshot)
        if whole or self._ticks % SLOW_EVERY == 0:  # what nobody reads ten times a second
            parts |= self._flow.parts(snapshot)
            self._latency.update(snapshot)
            parts["pictures"] = self._pictures.html(snapshot)
            parts["edges"] = edges_table(snapshot)
            parts["band"] = band_of(snapshot)
            parts["log"] = log_of(snapshot)
            parts["settings"] = controls.all_settings(snapshot)
        self._ticks += 1
        new = {name: part for name, part in parts.items() if self._parts.get(name) != part}
        self._parts |= new
        return new

    def take_patch(self) -> Any:
        """What has changed in the document since this was called last, as Bokeh's patch; None if nothing has."""
        from bokeh.core.serialization import Serializer

        events, self._events = self._events, []
        if not events:
            return None
        models = self.document.models
        serializer = Serializer(references=models.synced_references, deferred=False)
        patch = {"events": serializer.encode(events)}
        models.flush_synced(lambda model: not serializer.has_ref(model))
        return patch

    def whole(self) -> dict[str, Any]:
        """All that a browser which has just come needs: document, where its plots go, parts."""
        self._events.clear()  # what the document already has in it need not be sent again
        document = self.document.to_json(deferred=False)
        self.document.models.flush_synced()
        return {
            "run": self.run_id,
            "document": document,
            "roots": self.roots,
            "branches": self.branches,
            "parts": self._parts,
        }

    def _on_change(self, event: Any) -> None:
        self._events.append(event)


def state_of(snapshot: dict[str, Any]) -> dict[str, str]:
    """How it stands with the run: its state, a colour for it, and words once it is over."""
    state = snapshot["state"]
    words = {
        "finished": "The link has ended. All that it sent stands here.",
        "interrupted": "The link was stopped. What had arrived stands here.",
        "failed": f"The link has failed in block {snapshot['failed_block'] or '(none)'!r}: "
        f"{_first_line(snapshot['failure'])}. What had arrived stands here.",
    }.get(state, "")
    if state == "failed" and not snapshot["failed_block"]:
        words = f"The link has failed: {_first_line(snapshot['failure'])}. What had arrived stands here."
    return {"state": state, "label": ENDED.get(state, state), "colour": STATE_COLOURS.get(state, style.DIM),
            "words": words}  # fmt: skip


def _first_line(text: str) -> str:
    return (text.splitlines() or ["for a reason that it did not give"])[0].rstrip(".")


def heading(snapshot: dict[str, Any]) -> str:
    """Name of the run and the facts beside its state, as HTML."""
    newest = snapshot["last"][-1] if snapshot["last"] else {}
    snr = newest.get("snr_db")
    facts = [f"{snapshot['duration']:.0f} s", f"engine {snapshot['engine']}", f"seed {snapshot['seed']}"]
    if isinstance(snr, (int, float)):
        facts.insert(0, f"SNR {snr:g} dB over {newest.get('channel')}")
    return f"<h1>{html.escape(snapshot['name'])}</h1> <span class=dim>{html.escape(' · '.join(facts))}</span>"


def edges_table(snapshot: dict[str, Any]) -> str:
    """Edges with rates and drops, as HTML."""
    rows = "".join(
        f"<tr><td>{html.escape(edge['name'])}</td><td>{edge['policy']}</td><td>{edge['frames']}</td>"
        f"<td>{edge['rate']:.1f}</td><td>{edge['bytes'] / 1e6:.1f}</td><td>{sum(edge['drops'].values())}</td></tr>"
        for edge in snapshot["edges"]
        if not edge["to"].endswith((".probe", ".view"))
    )
    head = "".join(f"<th>{name}</th>" for name in ("edge", "policy", "frames", "frames/s", "MB", "dropped"))
    return f"<table><tr>{head}</tr>{rows}</table>"


def log_of(snapshot: dict[str, Any]) -> str:
    """The newest events first, as HTML."""
    return "".join(
        f"<div class='{html.escape(event['level'])}'>"
        f"<span class=dim>{time.strftime('%H:%M:%S', time.localtime(event['at']))}</span> "
        f"{html.escape(event['text'])}</div>"
        for event in reversed(snapshot["events"])
    )

"""Controls of the live page: a widget for every live setting, pause, and a sweep over SNRs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from semstream.monitor.page import style

Send = Callable[[str, str, Any], None]
SWEEP = (1.0, 4.0, 7.0, 10.0, 13.0)
UNBOUNDED = {"snr_db": (-5.0, 30.0), "design_snr_db": (-5.0, 30.0), "fps": (0.0, 60.0), "rate": (0.5, 30.0)}
"""Ends of the slider where a setting itself has none on that side."""


class Controls:
    """Widgets for the live settings of a run. `session` runs things in the page's own thread.

    Parameters
    ----------
    command
        Sends ``("set", block, values, token)`` or ``("pause", value, token)``; returns the error.
    later
        Runs a function in the page's thread soon.
    token
        What the page was opened with.
    """

    def __init__(
        self, command: Callable[..., str], later: Callable[[Callable[[], None]], None], token: str = ""
    ) -> None:
        from bokeh.layouts import column
        from bokeh.models.css import InlineStyleSheet
        from bokeh.models.widgets import Button, Div, PasswordInput, Select, Toggle

        sheets: list[Any] = [InlineStyleSheet(css=style.WIDGET_CSS)]
        self._command, self._later = command, later
        self._token = PasswordInput(title="token", value=token, stylesheets=sheets, sizing_mode="stretch_width")
        self._said = Div(text="", stylesheets=[InlineStyleSheet(css=style.TEXT_CSS)], sizing_mode="stretch_width")
        self._pause = Toggle(label="pause", stylesheets=sheets, width=90)
        self._pause.on_change("active", self._on_pause)
        self._sweep = Button(label="sweep SNR", stylesheets=sheets, width=110)
        self._sweep.on_click(self._on_sweep)
        self._choice = Select(title="block", options=[], stylesheets=sheets, sizing_mode="stretch_width")
        self._choice.on_change("value", lambda _attribute, _old, _new: self._rebuild())
        self._widgets = column([], sizing_mode="stretch_width")
        self.panel = column(
            Div(text="<h2>Controls</h2>", stylesheets=[InlineStyleSheet(css=style.TEXT_CSS)]),
            self._said, sizing_mode="stretch_width", stylesheets=[InlineStyleSheet(css=style.panel_css(4))],
        )  # fmt: skip
        self._snapshot: dict[str, Any] | None = None
        self._run_id = ""
        self._quiet = False
        self._sweeping = False

    def update(self, snapshot: dict[str, Any]) -> None:
        """Take a snapshot: new widgets for a new run, else the values that have changed elsewhere."""
        from bokeh.layouts import row

        self._snapshot = snapshot
        if snapshot["run_id"] == self._run_id:
            self._follow()
            return
        self._run_id = snapshot["run_id"]
        heading = self.panel.children[0]
        if not snapshot["control"]:
            self.panel.children = [heading, self._said]
            self._say("read-only; start the flowgraph with --control to steer it from here")
            return
        steerable = [name for name, block in snapshot["blocks"].items() if any(s["live"] for s in block["settings"])]
        self._quiet = True
        self._choice.options = steerable
        first = next((n for n in steerable if snapshot["blocks"][n]["class"] == "SnrSweep"), None)
        self._choice.value = first or (steerable[0] if steerable else "")
        self._quiet = False
        buttons = row(self._pause, self._sweep)
        self.panel.children = [heading, self._token, buttons, self._choice, self._widgets, self._said]
        self._rebuild()

    def _rebuild(self) -> None:
        if self._snapshot is None or self._quiet or self._choice.value not in self._snapshot["blocks"]:
            return
        block = self._choice.value
        settings = [s for s in self._snapshot["blocks"][block]["settings"] if s["live"]]
        self._widgets.children = [self._widget(block, setting) for setting in settings]

    def _follow(self) -> None:
        """Show what was set elsewhere: another browser, the program itself."""
        if self._snapshot is None or self._choice.value not in self._snapshot["blocks"]:
            return
        values = {s["name"]: s for s in self._snapshot["blocks"][self._choice.value]["settings"]}
        self._quiet = True
        children: list[Any] = self._widgets.children
        for widget in children:
            setting = values.get(widget.name)
            if setting is not None:
                shown = _shown(setting)
                if (
                    isinstance(widget.value if hasattr(widget, "value") else None, type(shown))
                    and widget.value != shown
                ):
                    widget.value = shown
        self._pause.active = self._snapshot["state"] == "paused"
        self._quiet = False

    def _widget(self, block: str, setting: dict[str, Any]) -> Any:
        from bokeh.models.css import InlineStyleSheet
        from bokeh.models.widgets import Checkbox, Select, Slider, Spinner, TextInput

        sheets: list[Any] = [InlineStyleSheet(css=style.WIDGET_CSS)]
        unit = f" ({setting['unit']})" if setting["unit"] else ""
        title = f"{setting['name']}{unit}"
        common: dict[str, Any] = {"name": setting["name"], "stylesheets": sheets, "sizing_mode": "stretch_width"}
        kind, shown = setting["kind"], _shown(setting)
        if kind == "boolean":
            widget: Any = Checkbox(label=title, active=bool(setting["value"]), **common)
            widget.on_change("active", lambda _a, _o, new: self._send(block, setting["name"], bool(new)))
            return widget
        if kind == "choice":
            choices: list[Any] = [str(choice) for choice in setting["choices"]]
            widget = Select(title=title, value=shown, options=choices, **common)
            widget.on_change("value", lambda _a, _o, new: self._send(block, setting["name"], new))
            return widget
        if kind in ("number", "integer"):
            low, high = _bounds(setting)
            whole = kind == "integer"
            if low is not None and high is not None and math.isfinite(float(setting["value"])):
                step = 1 if whole else max(0.01, round((high - low) / 200, 2))
                value = min(high, max(low, float(setting["value"])))
                widget = Slider(title=title, start=low, end=high, step=step, value=value, **common)
                event = "value_throttled"
            else:
                widget = Spinner(title=title, value=shown, step=1 if whole else 0.5, **common)
                event = "value"
            widget.on_change(
                event,
                lambda _a, _o, new: self._send(block, setting["name"], int(new) if whole else float(new)),
            )
            return widget
        widget = TextInput(title=title, value=str(shown), **common)
        widget.on_change("value", lambda _a, _o, new: self._send(block, setting["name"], _typed(new)))
        return widget

    def _send(self, block: str, name: str, value: Any) -> None:
        if not self._quiet and value is not None:
            self._do("set", block, {name: value}, f"{block}: {name} = {value}")

    def _on_pause(self, _attribute: str, _old: Any, new: Any) -> None:
        if not self._quiet:
            self._do("pause", bool(new), None, "paused" if new else "goes on")

    def _do(self, op: str, first: Any, values: Any, done: str) -> None:
        """Send from another thread: the page goes on while the link finishes its frame."""
        token = self._token.value

        def work() -> None:
            error = self._command(op, first, values, token) if op == "set" else self._command(op, first, token)
            self._later(lambda: self._say(error or done, bool(error)))

        threading.Thread(target=work, daemon=True).start()

    def _on_sweep(self) -> None:
        """Step every block with a live snr_db through the SNRs, a second each."""
        if self._snapshot is None or self._sweeping:
            return
        blocks = self._snapshot["blocks"]
        lists = [n for n, b in blocks.items() if any(s["name"] == "snr_db" and s["live"] for s in b["settings"])]
        sweeps = [n for n in lists if isinstance(_value(blocks[n], "snr_db"), list)]
        token = self._token.value
        self._sweeping = True

        def work() -> None:
            error = ""
            for snr in SWEEP:
                for name in sweeps or lists:
                    error = error or self._command("set", name, {"snr_db": [snr] if sweeps else snr}, token)
                if error:
                    break
                time.sleep(1.0)
            self._sweeping = False
            self._later(lambda: self._say(error or "sweep done", bool(error)))

        threading.Thread(target=work, daemon=True).start()
        self._say(f"sweeping over {', '.join(f'{s:g}' for s in SWEEP)} dB")

    def _say(self, text: str, bad: bool = False) -> None:
        import html

        colour = style.BAD if bad else style.DIM
        self._said.text = f"<span style='color:{colour}'>{html.escape(text)}</span>"


def _value(block: dict[str, Any], name: str) -> Any:
    return next((s["value"] for s in block["settings"] if s["name"] == name), None)


def _shown(setting: dict[str, Any]) -> Any:
    value = setting["value"]
    if setting["kind"] == "choice":
        return str(value)
    if setting["kind"] == "text":
        return (
            ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
            if isinstance(value, list)
            else ("" if value is None else str(value))
        )
    return value


def _bounds(setting: dict[str, Any]) -> tuple[float | None, float | None]:
    low, high = setting["minimum"], setting["maximum"]
    usual = UNBOUNDED.get(setting["name"])
    if usual is not None:
        low, high = (max(usual[0], low) if low is not None else usual[0]), (high if high is not None else usual[1])
    return low, high


def _typed(text: str) -> Any:
    """What a text field means: a number, a list of numbers, or the text."""
    parts = text.replace(",", " ").split()
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return text
    return numbers if len(numbers) != 1 or "," in text else numbers[0]

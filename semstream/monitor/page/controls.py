"""What the page steers a link by: SNR, channel, bits and allocation of all branches at once, and every live setting.

Found by the settings that blocks have, whatever the blocks are called. A control moves all its blocks together; where
they differ as the run begins (each branch has a channel of its own), it offers to move one of them alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from semstream.monitor.page.pictures import branches
from semstream.monitor.walk import WALK_S

SWEEP = (1.0, 4.0, 7.0, 10.0, 13.0)
"""SNRs in dB of a sweep where the run has none of its own."""
UNBOUNDED = {"snr_db": (-5.0, 30.0), "design_snr_db": (-5.0, 30.0), "fps": (0.0, 60.0), "rate": (0.5, 30.0)}
"""Ends of the slider where a setting itself has none on that side."""

Setting = dict[str, Any]
Change = tuple[str, dict[str, Any]]
"""A block and the settings that it is to take."""


@dataclass(frozen=True)
class _Kind:
    title: str
    setting: str
    fits: Callable[[Setting], bool]


KINDS = {
    "snr": _Kind("SNR", "snr_db", lambda s: s["kind"] == "number" or isinstance(s["value"], list)),
    "channel": _Kind("channel", "channel", lambda s: "awgn" in s["choices"]),
    "bits": _Kind("bits", "bits", lambda s: s["unit"] == "bits/feature"),
    "scheme": _Kind("allocation", "scheme", lambda s: "optimal" in s["choices"]),
}


def main_controls(snapshot: dict[str, Any]) -> list[dict[str, Any]]:
    """The controls on top of the page, those that this run has something for.

    Returns
    -------
    Of each: id, title, kind ("slider" or "choice"), value (None where its blocks differ), unit; low, high and step of a
    slider, choices of a choice; ``scopes``, names of single blocks to move, where they differ as the run begins.
    """
    controls = []
    for name in KINDS:
        targets = _targets(snapshot, name)
        if not targets:
            continue
        first = next(iter(targets.values()))
        values = [_single(setting["value"]) for setting in targets.values()]
        value = values[0] if all(v == values[0] for v in values) else None
        control: dict[str, Any] = {"id": name, "title": KINDS[name].title, "value": value, "unit": first["unit"]}
        if name == "snr":
            control |= _snr(snapshot, value)
        control["scopes"] = _scopes(snapshot, targets)
        if first["choices"]:
            control |= {"kind": "choice", "choices": [str(choice) for choice in first["choices"]]}
        else:
            low, high = bounds(first)
            control |= {"kind": "slider", "low": low, "high": high, "step": 0.5 if name == "snr" else 0.25}
            control["low"] = max(control["low"], 1.0) if name == "bits" else control["low"]
        controls.append(control)
    return controls


def changes(snapshot: dict[str, Any], control: str, value: Any, scope: str = "") -> list[Change]:
    """What has to be set so that a control has a value.

    Parameters
    ----------
    scope
        One of the control's scopes; empty for all its blocks.

    Raises
    ------
    ValueError
        If this run has no such control or scope, or the value is of another kind.
    """
    targets = _targets(snapshot, control) if control in KINDS else {}
    if scope:
        targets = {name: s for name, s in targets.items() if scope in _labels(snapshot, [name])}
    if not targets:
        raise ValueError(f"no control {control!r}{f' of {scope!r}' if scope else ''} in this flowgraph")
    if not isinstance(value, str if next(iter(targets.values()))["choices"] else (int, float)):
        raise ValueError(f"{KINDS[control].title}: got {value!r:.40}")
    return [
        (block, {setting["name"]: [float(value)] if isinstance(setting["value"], list) else value})
        for block, setting in targets.items()
    ]


def sweep_changes(snapshot: dict[str, Any], go: bool) -> list[Change]:
    """What has to be set so that the run's own sweeps go on, or hold at the SNR at hand; nothing if it has none."""
    result = []
    for block, setting in _targets(snapshot, "snr").items():
        if not isinstance(setting["value"], list):
            continue
        if go:
            initial = setting["initial"]
            values: dict[str, Any] = {"snr_db": initial if len(initial) > 1 else list(SWEEP)}
            if any(s["name"] == "within_s" and s["live"] for s in snapshot["blocks"][block]["settings"]):
                values["within_s"] = WALK_S
        else:
            values = {"snr_db": [newest_snr(snapshot) if newest_snr(snapshot) is not None else setting["value"][0]]}
        result.append((block, values))
    return result


def newest_snr(snapshot: dict[str, Any]) -> float | None:
    """SNR of the newest record in dB."""
    snr = snapshot["last"][-1].get("snr_db") if snapshot["last"] else None
    return float(snr) if isinstance(snr, (int, float)) else None


def all_settings(snapshot: dict[str, Any]) -> list[dict[str, Any]]:
    """Every live setting, by block, with the ends of its slider."""
    blocks = []
    for name, block in snapshot["blocks"].items():
        live = [s | dict(zip(("low", "high"), bounds(s), strict=True)) for s in block["settings"] if s["live"]]
        if live:
            shown = [{key: s[key] for key in SHOWN} for s in live]
            blocks.append({"block": name, "class": block["class"], "settings": shown})
    return blocks


SHOWN = ("name", "value", "unit", "description", "kind", "choices", "low", "high")


def bounds(setting: Setting) -> tuple[float | None, float | None]:
    """Ends of a setting's slider; None on a side that has none."""
    low, high = setting["minimum"], setting["maximum"]
    usual = UNBOUNDED.get(setting["name"])
    if usual is not None:
        low, high = (max(usual[0], low) if low is not None else usual[0]), (high if high is not None else usual[1])
    return low, high


def typed(text: str) -> Any:
    """What is typed into a field of text: a number, a list of numbers, or the text."""
    parts = text.replace(",", " ").split()
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return text
    if not numbers or any(map(math.isnan, numbers)):
        return text
    return numbers if len(numbers) != 1 or "," in text else numbers[0]


def _targets(snapshot: dict[str, Any], control: str) -> dict[str, Setting]:
    """The blocks that a control moves, and their setting."""
    kind = KINDS[control]
    found = {
        name: setting
        for name, block in snapshot["blocks"].items()
        for setting in block["settings"]
        if setting["live"] and setting["name"] == kind.setting and kind.fits(setting)
    }
    if control == "snr" and any(isinstance(setting["value"], list) for setting in found.values()):
        # Channels that send each frame at the SNR that a sweep has tagged it with need no word of their own.
        followers = [name for name in found if _value(snapshot["blocks"][name], "follow_snr") is True]
        found = {name: setting for name, setting in found.items() if name not in followers}
    return found


def _value(block: dict[str, Any], name: str) -> Any:
    return next((s["value"] for s in block["settings"] if s["name"] == name), None)


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _snr(snapshot: dict[str, Any], value: Any) -> dict[str, Any]:
    """The SNR is that of the sweep, where there is one: frames that it has tagged follow it."""
    lists = [s["value"] for s in _targets(snapshot, "snr").values() if isinstance(s["value"], list)]
    sweeping = any(len(values) > 1 for values in lists)
    if lists and not sweeping:
        value = lists[0][0] if all(values == lists[0] for values in lists) else None
    elif sweeping:
        value = newest_snr(snapshot)
    return {"value": value, "sweeping": sweeping}


def _scopes(snapshot: dict[str, Any], targets: dict[str, Setting]) -> list[str]:
    """Names of single blocks, where their values differ as the run begins."""
    scalars = {name: s for name, s in targets.items() if not isinstance(s["value"], list)}
    if len(scalars) < 2 or all(s["initial"] == next(iter(scalars.values()))["initial"] for s in scalars.values()):
        return []
    return _labels(snapshot, list(scalars))


def _labels(snapshot: dict[str, Any], blocks: list[str]) -> list[str]:
    """Blocks by the branch that they lead to alone, as a person names them; else by their own names."""
    follow: dict[str, set[str]] = {}
    for edge in snapshot["edges"]:
        follow.setdefault(edge["from"], set()).add(edge["to"])
    known = {f"{branch}.metrics": branch for branch in branches(snapshot)} | {b: b for b in branches(snapshot)}

    def reached(block: str) -> set[str]:
        seen, todo = {block}, [block]
        while todo:
            for after in follow.get(todo.pop(), set()) - seen:
                seen.add(after)
                todo.append(after)
        return {known[name] for name in seen if name in known}

    return [next(iter(found)) if len(found := reached(block)) == 1 else block for block in blocks]

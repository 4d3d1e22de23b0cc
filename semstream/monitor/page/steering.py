"""Steering: what browsers ask to be changed, made commands to the run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from semstream.monitor.page.controls import SWEEP, Change, changes, sweep_changes, typed
from semstream.monitor.walk import WALK_S


class Steering:
    """Carries out requests of browsers; the run's own monitor decides by the token whether it may be changed.

    Requests: ``{"op": "steer", "control", "value", "scope"}``, ``{"op": "set", "block", "name", "value"}``,
    ``{"op": "pause", "value"}``, ``{"op": "sweep", "value"}``, each with ``token``.

    Parameters
    ----------
    command
        `Feed.command`, awaited.
    newest
        The newest snapshot, or None.
    """

    def __init__(self, command: Callable[..., Awaitable[str]], newest: Callable[[], dict[str, Any] | None]) -> None:
        self._command, self._newest = command, newest
        self._sweep: asyncio.Task[None] | None = None

    @property
    def sweeping(self) -> bool:
        """Whether the page itself steps through SNRs, as the run has no sweep of its own."""
        return self._sweep is not None and not self._sweep.done()

    def stop_sweep(self) -> None:
        """Step no further."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    async def do(self, request: dict[str, Any]) -> tuple[str, str]:
        """Carry out a request.

        Returns
        -------
        The error and what was done, in words; one of them is empty.
        """
        token = str(request.get("token", ""))
        snapshot = self._newest()
        if snapshot is None:
            return "no flowgraph has answered yet", ""
        try:
            op, value = request["op"], request.get("value")
            if op == "pause":
                return await self._command("pause", bool(value), token), "paused" if value else "goes on"
            if op == "sweep":
                return await self._switch_sweep(snapshot, bool(value), token)
            if op == "steer":
                control = str(request["control"])
                wanted = changes(snapshot, control, _number(value), str(request.get("scope", "")))
                if control == "snr":
                    self.stop_sweep()
            elif op == "set":
                value = typed(value) if isinstance(value, str) and request.get("typed") else _number(value)
                wanted = [(str(request["block"]), {str(request["name"]): value})]
            else:
                return f"not a request that this page knows: {op!r:.40}", ""
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return f"not a request that this page knows: {error}", ""
        return await self._make(wanted, token)

    async def _make(self, wanted: list[Change], token: str) -> tuple[str, str]:
        for block, values in wanted:
            if error := await self._command("set", block, values, token):
                return error, ""
        said = "; ".join(f"{name} = {_words(value)}" for name, value in wanted[0][1].items())
        blocks = ", ".join(block for block, _ in wanted)
        return "", f"{said} ({blocks})"

    async def _switch_sweep(self, snapshot: dict[str, Any], go: bool, token: str) -> tuple[str, str]:
        own = sweep_changes(snapshot, go)
        if own:
            error, said = await self._make(own, token)
            return error, said and ("sweeping: " if go else "held: ") + said
        self.stop_sweep()
        if not go:
            return await self._command("check", token), "sweep stopped"
        error, _ = await self._make(changes(snapshot, "snr", SWEEP[0]), token)
        if not error:
            self._sweep = asyncio.create_task(self._step(token))
        return error, f"sweeping over {', '.join(f'{snr:g}' for snr in SWEEP)} dB"

    async def _step(self, token: str) -> None:
        """Step every channel through the SNRs until stopped, the run is over, or it may no longer be steered."""
        place = 0
        while (snapshot := self._newest()) is not None and snapshot["state"] in ("running", "paused"):
            await asyncio.sleep(WALK_S / len(SWEEP))
            place += 1
            error, _ = await self._make(changes(snapshot, "snr", SWEEP[place % len(SWEEP)]), token)
            if error:
                return


def _number(value: Any) -> Any:
    """Numbers that JSON has no way to write come as words."""
    return float(value) if isinstance(value, str) and value.lower() in ("inf", "-inf") else value


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) else str(value)

"""``semstream top`` and ``semstream monitor``: a run that goes on elsewhere, in the terminal and in browsers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from semstream.monitor.watched import DEFAULT_ENDPOINT
from semstream.runtime import CurveKeys, SemstreamError
from semstream.runtime.files.keyfile import read_keys

Endpoint = Annotated[str, typer.Argument(help="monitor endpoint of the run, as its command printed it")]
Curve = Annotated[
    Path | None, typer.Option(help="file with lines public, secret, server: CURVE keys for an endpoint on another host")
]
app = typer.Typer(rich_markup_mode=None)
console = Console()


def keys(path: Path | None) -> CurveKeys | None:
    """CURVE keys of a viewer from their file (`semstream.runtime.files.keyfile`).

    Raises
    ------
    typer.BadParameter
        If the file cannot be read, is not one of keys, or lacks the server's.
    """
    if path is None:
        return None
    try:
        found = read_keys(path)
    except SemstreamError as error:
        raise typer.BadParameter(f"--curve: {error}") from None
    if not found.server:
        raise typer.BadParameter(f"--curve {path}: expected a line server: with the public key of the flowgraph")
    return found


@app.command()
def top(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    once: Annotated[bool, typer.Option("--once", help="show one snapshot and leave")] = False,
    curve: Curve = None,
) -> None:
    """Show a running flowgraph in the terminal: quality, rates, work, age, drops. Exit code 1 if nobody answers."""
    from semstream.monitor.client import MonitorClient
    from semstream.monitor.top import watch

    try:
        with MonitorClient(endpoint, keys(curve)) as client:
            status = watch(client, console, once)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except SemstreamError as error:
        _fail(error)
    if status:
        Console(stderr=True).print(
            f"semstream: nobody answers at {endpoint}; start a flowgraph with --monitor, or name its endpoint",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    raise typer.Exit(status)


@app.command()
def monitor(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    port: Annotated[int, typer.Option(help="port of the page on loopback; 0: a free one", min=0, max=65535)] = 5006,
    token: Annotated[str, typer.Option(help="token of the flowgraph, to steer it", envvar="SEMSTREAM_TOKEN")] = "",
    curve: Curve = None,
) -> None:
    """Serve the live page of a running flowgraph; it waits for one, and for the next one after that."""
    from semstream.monitor.page.server import serve

    try:
        serve(endpoint, port, token, keys(curve))
    except SemstreamError as error:
        _fail(error)


def _fail(error: Exception) -> None:
    Console(stderr=True).print(f"semstream: {error}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)

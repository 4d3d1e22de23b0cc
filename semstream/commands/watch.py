"""``semstream top`` and ``semstream monitor``: a run that goes on elsewhere, in the terminal and in browsers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from semstream.monitor.watched import DEFAULT_ENDPOINT
from semstream.runtime import CurveKeys, SemstreamError
from semstream.runtime.files.keyfile import read_keys

Endpoint = Annotated[str, typer.Argument(help="monitor endpoint of the run, as its command printed it")]
Curve = Annotated[
    Path | None,
    typer.Option(
        help="CURVE keys for an endpoint on another host: a file with lines public, secret, server, or NAME.key_secret"
    ),
]
Server = Annotated[Path | None, typer.Option(help="public certificate of the flowgraph, NAME.key, with --curve")]
app = typer.Typer(rich_markup_mode=None)
console = Console()


def keys(path: Path | None, server: Path | None = None) -> CurveKeys | None:
    """CURVE keys of a viewer from their file (`semstream.runtime.files.keyfile`).

    Raises
    ------
    typer.BadParameter
        If the file cannot be read, is not one of keys, or lacks the server's.
    """
    if path is None:
        if server is not None:
            raise typer.BadParameter("--server needs --curve, this end's own keys")
        return None
    try:
        found = read_keys(path, server)
    except SemstreamError as error:
        raise typer.BadParameter(f"--curve: {error}") from None
    if not found.server:
        raise typer.BadParameter(
            f"--curve {path}: expected a line server: with the public key of the flowgraph, or --server NAME.key"
        )
    return found


@app.command()
def top(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    once: Annotated[bool, typer.Option("--once", help="show one snapshot and leave")] = False,
    curve: Curve = None,
    server: Server = None,
) -> None:
    """Show a running flowgraph in the terminal: quality, rates, work, age, drops. Exit code 1 if nobody answers."""
    from semstream.monitor.client import MonitorClient
    from semstream.monitor.top import watch

    try:
        with MonitorClient(endpoint, keys(curve, server)) as client:
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
    server: Server = None,
    prometheus: Annotated[
        int, typer.Option(help="serve its counters too, on this port of loopback; 0: not", min=0, max=65535)
    ] = 0,
) -> None:
    """Serve the live page of a running flowgraph; it waits for one, and for the next one after that."""
    from semstream.monitor.page.server import serve

    own = keys(curve, server)
    try:
        with ExitStack() as stack:
            if prometheus:
                from semstream.monitor.prometheus import Asked, PrometheusEndpoint

                counters = PrometheusEndpoint(Asked(endpoint, own), prometheus)
                stack.callback(counters.close)
                console.print(f"counters at http://127.0.0.1:{counters.port}/metrics", highlight=False)
            serve(endpoint, port, token, own)
    except SemstreamError as error:
        _fail(error)


def _fail(error: Exception) -> None:
    Console(stderr=True).print(f"semstream: {error}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)

"""``semstream serve``: a flowgraph as a service."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from semstream.commands import fail

app = typer.Typer(rich_markup_mode=None)
Restart = StrEnum("Restart", {"never": "never", "on_failure": "on-failure", "always": "always"})
Log = StrEnum("Log", ["text", "json"])
Engine = StrEnum("Engine", ["threads", "processes"])


@app.command()
def serve(
    file: Annotated[Path, typer.Argument(help="FILE.yaml", metavar="FILE")],
    port: Annotated[
        int, typer.Option(help="of /healthz, /readyz and /metrics; 0: a free one", min=0, max=65535)
    ] = 9464,
    address: Annotated[
        str, typer.Option(help="interface of that port; 0.0.0.0 lets everybody read it, as in a container")
    ] = "127.0.0.1",
    engine: Annotated[Engine | None, typer.Option(help="where blocks run, instead of what the file says")] = None,
    seed: Annotated[int | None, typer.Option(help="seed of all noise, instead of what the file says")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="BLOCK.SETTING=VALUE", help="change a setting; repeatable")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="keep the durable run there, so that it goes on when this program has died"
        ),
    ] = None,
    restart: Annotated[Restart, typer.Option(help="when a run that has ended is started again")] = Restart.on_failure,
    restart_limit: Annotated[int, typer.Option(help="restarts in a row, then exit code 1; 0: no limit", min=0)] = 10,
    restart_wait: Annotated[
        float, typer.Option(help="seconds before the first restart in a row; doubles, up to 60", min=0.01, max=60)
    ] = 0.5,
    log: Annotated[Log, typer.Option(help="form of the logs on standard error")] = Log.text,
    monitor: Annotated[
        bool, typer.Option("--monitor", help="let semstream top and semstream monitor on this host watch")
    ] = False,
) -> None:
    """Run a flowgraph as a service: started again when it fails, health and metrics over HTTP.

    SIGTERM ends it within seconds, exit code 0. SIGHUP reads the file again: if it is right, it takes the place of what
    runs; else that goes on, and the log says what is wrong. Code of blocks of one's own is read once, at the start.
    Where systemd has started it, it is told (Type=notify).
    """
    from semstream.runtime import SemstreamError
    from semstream.serving.http import HttpServer
    from semstream.serving.logs import set_up
    from semstream.serving.restarts import RestartPolicy
    from semstream.serving.state import ServiceState
    from semstream.serving.supervisor import LOG, FlowgraphFile, Supervisor

    if file.suffix.lower() not in (".yaml", ".yml"):
        fail(f"{file}: expected a FILE.yaml; write one of a script by: semstream graph {file} --out FILE.yaml")
    try:
        opened = FlowgraphFile(file, set_ or [], seed, state)
        service = ServiceState()
        server = HttpServer(service, port, address)
    except SemstreamError as error:
        fail(error)
    set_up("json" if log is Log.json else "text")
    LOG.info("health and metrics at http://%s:%d", address, server.port)
    policy = RestartPolicy(restart.value, restart_limit, restart_wait)
    supervisor = Supervisor(opened, service, policy, engine.value if engine else None, monitor=monitor)
    code = 1
    try:
        code = supervisor.serve()
    finally:
        server.close()
        LOG.info("ended")
    # Imported late, as every command's: a service that was stopped need not wait until PyTorch is taken down.
    from semstream.script.execution import leave

    leave(code)

"""Watching a run from its own command: the page beside it, the endpoint, Prometheus."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

from semstream.monitor.service import MonitorService
from semstream.monitor.walk import WALK_S
from semstream.runtime import CurveKeys, FlowgraphError

if TYPE_CHECKING:
    from rich.console import Console

    from semstream.runtime import Run

DEFAULT_PORT = 5590
DEFAULT_ENDPOINT = f"tcp://127.0.0.1:{DEFAULT_PORT}"


@contextmanager
def watched(
    run: Run, monitor: str, control: bool, prometheus: int, console: Console, keys: CurveKeys | None = None
) -> Iterator[Page | None]:
    """Serve what was asked for, and say where; the page, if there is one. While somebody watches, sweeps `Walk`.

    Parameters
    ----------
    monitor
        Port of the live page, ``auto`` for a free one, empty for none.
    control
        Whether the page may change settings; the address that is printed then has the token in it.
    prometheus
        Port of the counters; 0 for none.
    keys
        CURVE keys, with which viewers on other hosts may ask as well.

    Raises
    ------
    FlowgraphError
        If a port that was named is in use, or the keys name no clients; the run is stopped first.
    """
    page = None
    with ExitStack() as stack:
        try:
            local = CurveKeys.generate(server=keys.public) if keys is not None else None  # the page's own
            service = _service(run, control, keys, local) if monitor or prometheus else None
            if service is not None:
                stack.enter_context(service)
            if service is not None and prometheus:
                from semstream.monitor.prometheus import PrometheusEndpoint

                endpoint = PrometheusEndpoint(service.watch, prometheus)
                stack.callback(endpoint.close)
                console.print(f"counters at http://127.0.0.1:{endpoint.port}/metrics", highlight=False)
            if service is not None and monitor:
                page = start_page(service, 0 if monitor == "auto" else int(monitor), local)
                stack.callback(page.close)
                verb = "watch and steer at" if control else "watch at"
                console.print(f"{verb} {page.address}", highlight=False, soft_wrap=True)
                if keys is not None:
                    port = service.endpoint.rpartition(":")[2]
                    console.print(
                        f"on other hosts: semstream monitor tcp://THIS_HOST:{port} --curve FILE", highlight=False
                    )
                elif service.endpoint != DEFAULT_ENDPOINT:
                    console.print(f"in a terminal: semstream top {service.endpoint}", highlight=False)
        except BaseException:
            run.stop()
            raise
        yield page


def _service(run: Run, control: bool, keys: CurveKeys | None, local: CurveKeys | None) -> MonitorService:
    """The service at the usual endpoint, so that `semstream top` finds it; at a free port if that one is taken."""
    host = "127.0.0.1"
    if keys is not None and local is not None:
        if not keys.clients:
            raise FlowgraphError(
                "--monitor-keys: the file names no clients, whose public keys say who may watch; add a line clients:"
            )
        host, keys = "0.0.0.0", replace(keys, clients=(*keys.clients, local.public))
    try:
        return MonitorService(run, f"tcp://{host}:{DEFAULT_PORT}", control, keys, walk_s=WALK_S)
    except FlowgraphError:
        return MonitorService(run, f"tcp://{host}:*", control, keys, walk_s=WALK_S)


class Page:
    """The page's process. It ends when this one does.

    Attributes
    ----------
    address : str
        What a browser opens; with the token in it where the run may be steered.
    """

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address

    def leave(self) -> None:
        """Have the page show browsers the newest state and end; does not wait for it."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()

    def close(self) -> None:
        """`leave`, and wait until it has ended."""
        self.leave()
        try:
            self.process.wait(0.7)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_page(service: MonitorService, port: int, curve: CurveKeys | None = None) -> Page:
    """Start the live page in a process of its own.

    Parameters
    ----------
    port
        TCP port on loopback; 0 for a free one.
    curve
        The page's own keys, where the service wants such.

    Raises
    ------
    FlowgraphError
        If it cannot be served there.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "semstream.monitor.page", service.endpoint.replace("//0.0.0.0:", "//127.0.0.1:"),
         str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    # Of secrets it gets its own keys alone, and not by its command line. Browsers have the token in their address.
    process.stdin.write(json.dumps(astuple(curve) if curve is not None else None) + "\n")
    process.stdin.flush()
    said = process.stdout.readline().strip()
    if not said.startswith("http://"):
        process.kill()
        process.wait()
        raise FlowgraphError(f"--monitor: {said.removeprefix('error: ') or 'the page did not start; see above'}")
    return Page(process, said + (f"?token={service.token}" if service.token else ""))

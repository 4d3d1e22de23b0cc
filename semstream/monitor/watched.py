"""Watching a run from its own command: the page beside it, the endpoint, Prometheus."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from semstream.monitor.service import MonitorService
from semstream.runtime import FlowgraphError

if TYPE_CHECKING:
    from rich.console import Console

    from semstream.runtime import Run

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5590"


@contextmanager
def watched(run: Run, monitor: str, control: bool, prometheus: int, console: Console) -> Iterator[None]:
    """Serve what was asked for while the run goes on; says where.

    Parameters
    ----------
    monitor
        Port of the live page, ``auto`` for a free one, empty for none.
    control
        Whether the page may change settings; prints the token.
    prometheus
        Port of the counters; 0 for none.

    Raises
    ------
    FlowgraphError
        If a port that was named is in use; the run is stopped first.
    """
    with ExitStack() as stack:
        try:
            service = _service(run, monitor, control) if monitor or prometheus else None
            if service is not None:
                stack.enter_context(service)
            if service is not None and prometheus:
                from semstream.monitor.prometheus import PrometheusEndpoint

                endpoint = PrometheusEndpoint(service.watch, prometheus)
                stack.callback(endpoint.close)
                console.print(f"counters at http://127.0.0.1:{endpoint.port}/metrics", highlight=False)
            if service is not None and monitor:
                page = start_page(service, 0 if monitor == "auto" else int(monitor))
                stack.callback(page.close)
                console.print(f"{page.address}, or: semstream top {service.endpoint}", highlight=False, soft_wrap=True)
                if control:
                    console.print(f"token for changes: {service.token}", highlight=False)
        except BaseException:
            run.stop()
            raise
        yield


def _service(run: Run, monitor: str, control: bool) -> MonitorService:
    """The service at the usual endpoint, so that `semstream top` finds it; at a free port if that one is taken."""
    try:
        return MonitorService(run, DEFAULT_ENDPOINT, control)
    except FlowgraphError:
        return MonitorService(run, "tcp://127.0.0.1:*", control)


class Page:
    """The page's process. It ends when this one does."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address

    def close(self) -> None:
        """End the page."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_page(service: MonitorService, port: int) -> Page:
    """Start the live page in a process of its own.

    Raises
    ------
    FlowgraphError
        If it cannot be served there.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "semstream.monitor.page", service.endpoint, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")  # browsers get no token: each types it, or has it in its address
    process.stdin.flush()
    said = process.stdout.readline().strip()
    if not said.startswith("watch at"):
        process.kill()
        process.wait()
        raise FlowgraphError(f"--monitor: {said.removeprefix('error: ') or 'the page did not start; see above'}")
    return Page(process, said)

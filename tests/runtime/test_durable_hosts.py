"""Durable edges between the hosts of one graph: each host is a command of its own, and any process may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from durable_host import HOSTS, graph
from runtime_blocks import Number, Ramp, Scale
from test_flowgraph import wait_for
from test_hosts import free_ports
from test_reconnect import Wire

from semstream.runtime import Flowgraph, FlowgraphError

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}


def below(pid: int) -> dict[int, str]:
    """Processes that a process has started, and theirs, with their names."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                name, rest = (folder / "stat").read_text().split(" (", 1)[1].rsplit(") ", 1)
            except OSError:
                continue
            if rest[0] != "Z":
                parents[int(folder.name)] = int(rest.split()[1]), name
    found: dict[int, str] = {}
    wanted = {pid}
    while wanted:
        children = {child for child, (parent, _) in parents.items() if parent in wanted}
        found |= {child: parents[child][1] for child in children}
        wanted = children
    return found


class Host:
    """A command that runs one host of the graph."""

    def __init__(self, name: str, **options: Any) -> None:
        command = [sys.executable, str(HERE / "durable_host.py"), name, json.dumps(options)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        self.lines: list[Any] = []

    def read(self, count: int) -> None:
        """Read so many more lines."""
        assert self.process.stdout is not None
        for _ in range(count):
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.lines.append(json.loads(line))

    def kill(self, block: str) -> None:
        """SIGKILL the process of a block of this host, once it is there."""
        found: list[int] = []
        while not found:
            assert self.process.poll() is None
            found = [pid for pid, name in below(self.process.pid).items() if name == block]
        os.kill(found[0], signal.SIGKILL)

    def end(self) -> dict[str, Any]:
        """What it has said last, after an end in order."""
        output, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        last: dict[str, Any] = json.loads(output.splitlines()[-1])
        return last


@pytest.fixture
def hosts() -> Any:
    """Starts hosts; none outlives its test."""
    started: list[Host] = []

    def start(name: str, **options: Any) -> Host:
        started.append(Host(name, **options))
        return started[-1]

    yield start
    for host in started:
        host.process.kill()
        host.process.communicate()


COUNT = 1200


def test_hosts_whose_processes_are_killed_lose_nothing_and_double_nothing(hosts: Any) -> None:
    calm = graph(free_ports(3), COUNT, durable=False).run("threads", timeout=60)
    ports = free_ports(3)
    by_name = {name: hosts(name, ports=ports, count=COUNT) for name in HOSTS}
    kills = [("tx", "count"), ("mid", "accumulate"), ("rx", "check"), ("mid", "relay"), ("mid", "halve#1")]
    kills += [("rx", "keep"), ("mid", "pairs"), ("tx", "count"), ("rx", "check")]
    for host, block in kills:
        by_name["rx"].read(120)
        by_name[host].kill(block)
    told = {name: host.end() for name, host in by_name.items()}
    for sink in ("check", "keep"):
        assert told["rx"]["records"][sink] == calm.records[sink]
    restarts = {name: count for host in told.values() for name, count in host["restarts"].items() if count}
    assert restarts == {"count": 2, "accumulate": 1, "check": 2, "relay": 1, "halve": 1, "keep": 1, "pairs": 1}

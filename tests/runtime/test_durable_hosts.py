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


def chain(ports: list[int], count: int = 300, policy: str = "block", **options: Any) -> Flowgraph:
    """Ramp, scale and number, one a host; tx is seen at the third port."""
    made = Flowgraph("chain", **{"durable": policy == "block", "restart": "on_failure", **options})
    source, scale, sink = Ramp(count=count, every_s=0.002), Scale(), Number(name="sink")
    made.connect(source, scale, policy=policy)
    made.connect(scale, sink, policy=policy)
    made.host("tx", f"127.0.0.1:{ports[2]}", source, listen=f"127.0.0.1:{ports[0]}", patience=20)
    made.host("mid", f"127.0.0.1:{ports[1]}", scale, patience=20)
    made.host("rx", f"127.0.0.1:{ports[3]}", sink, patience=20)
    return made


def all_of(run: Any, count: int) -> None:
    assert [record["seq"] for record in run.records["sink"]] == list(range(count))
    assert [record["first"] for record in run.records["sink"]] == [2.0 * i for i in range(count)]


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
def test_a_connection_between_hosts_that_is_cut_comes_back(policy: str) -> None:
    port, *others = free_ports(3)
    wire = Wire(port)
    count = 300 if policy == "block" else 1500
    made = chain([port, others[0], wire.port, others[1]], count, policy)
    runs = {host: made.only(host).start() for host in made.hosts}
    records = runs["rx"].records["sink"]
    for reached in (40, 120):
        wait_for(lambda reached=reached: records and records[-1]["seq"] > reached)
        cuts = wire.cuts
        wire.open = False
        wait_for(lambda cuts=cuts: wire.cuts > cuts)
        wire.open = True
    wait_for(lambda: records[-1]["seq"] > 160)
    wire.cut_every = 3000  # and again and again, the end of the stream too
    for run in runs.values():
        run.wait(60)
    wire.close()
    if policy == "block":
        all_of(runs["rx"], count)
    else:  # what was under way is lost, and no more is said of it than that
        seqs = [record["seq"] for record in records]
        assert seqs == sorted(set(seqs))
    assert not any(run.counters()["blocks"][name]["bad"] for run in runs.values() for name in run.records)


def test_a_receiving_host_that_is_started_anew_without_what_it_had_is_refused_and_the_first_goes_on() -> None:
    ports = free_ports(3)
    made = chain([*ports[:2], ports[0], ports[2]], count=-1)
    runs = {host: made.only(host).start() for host in made.hosts}
    wait_for(lambda: len(runs["rx"].records["sink"]) > 20)
    again = chain([*ports[:2], ports[0], ports[2]], count=-1)
    with pytest.raises(FlowgraphError, match=r"host 'rx' .* runs already, or was started anew: scale.out -> sink"):
        again.only("rx").run(timeout=20)
    seen = len(runs["rx"].records["sink"])
    wait_for(lambda: len(runs["rx"].records["sink"]) > seen + 20)
    for run in runs.values():
        run.stop()


def test_durable_edges_between_hosts_take_keys_each_its_own(tmp_path: Path) -> None:
    from semstream.runtime.files.keyfile import make_certificates

    make_certificates(tmp_path / "keys", HOSTS)
    made = graph(free_ports(3), 60)
    made.keys = str(tmp_path / "keys")
    runs = {host: made.only(host).start("threads") for host in made.hosts}
    for run in runs.values():
        run.wait(60)
    calm = graph(free_ports(3), 60, durable=False).run("threads", timeout=60)
    for sink in ("check", "keep"):
        assert runs["rx"].records[sink] == calm.records[sink]


def test_a_host_that_does_not_know_of_durable_edges_is_told() -> None:
    ports = free_ports(3)
    one, other = (chain([*ports[:2], ports[0], ports[2]], durable=durable) for durable in (True, False))
    with one.only("tx").start() as tx:
        with pytest.raises(FlowgraphError, match="is durable"):
            other.only("mid").run(timeout=20)
        tx.stop()


def test_a_sending_host_whose_whole_program_was_killed_is_not_taken_for_the_one_that_was(hosts: Any) -> None:
    ports, count = free_ports(3), 1_000_000
    made = graph(ports, count)
    tx = hosts("tx", ports=ports, count=count, run_by="threads")
    mid, rx = (made.only(host).start() for host in HOSTS[1:])
    wait_for(lambda: len(rx.records["check"]) > 50)
    tx.process.kill()
    hosts("tx", ports=ports, count=count, run_by="threads")
    with pytest.raises(FlowgraphError, match=r"host 'tx' .* was started anew and does not know what it had given"):
        mid.wait(30)
    with pytest.raises(FlowgraphError):
        rx.wait(30)

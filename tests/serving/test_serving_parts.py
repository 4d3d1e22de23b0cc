"""The parts of a service, one by one: restarts, logs, notifications, HTTP, and the files to deploy it by."""

from __future__ import annotations

import io
import json
import logging
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from semstream.monitor.snapshot import Watch
from semstream.runtime import Block, Flowgraph, FlowgraphError
from semstream.serving.http import HttpServer, application
from semstream.serving.logs import JsonLines
from semstream.serving.notify import Notifier
from semstream.serving.restarts import RestartPolicy, Restarts
from semstream.serving.state import ServiceState

ROOT = Path(__file__).resolve().parents[2]


def test_waits_double_up_to_the_longest_and_begin_anew_after_a_settled_run() -> None:
    restarts = Restarts(RestartPolicy("on-failure", limit=0, first_s=1, longest_s=5, settled_s=60))
    assert [restarts.after(True, 0.0) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert restarts.after(True, 61.0) == 1
    assert restarts.after(False, 0.0) is None
    assert restarts.total == 6


def test_the_limit_counts_restarts_in_a_row() -> None:
    restarts = Restarts(RestartPolicy("on-failure", limit=2, first_s=1))
    assert restarts.after(True, 0) == 1
    assert restarts.after(True, 100) == 1
    assert restarts.after(True, 0) == 2
    assert restarts.after(True, 0) is None


@pytest.mark.parametrize(("when", "failed", "again"), [("never", True, False), ("always", False, True)])
def test_the_policy_says_after_which_ends(when: Any, failed: bool, again: bool) -> None:
    assert (Restarts(RestartPolicy(when)).after(failed, 0.0) is not None) is again


def test_a_log_line_is_json_with_block_and_traceback() -> None:
    logger, text = logging.getLogger("semstream.link.encoder"), io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    try:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logger.warning("frame %d", 3, exc_info=True)
    finally:
        logger.removeHandler(handler)
    (line,) = text.getvalue().splitlines()
    value = json.loads(line)
    assert (value["flowgraph"], value["block"], value["level"]) == ("link", "encoder", "warning")
    assert value["message"] == "frame 3"
    assert "ValueError" in value["exception"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value["time"])


def test_systemd_is_told_at_a_path_and_at_an_abstract_address(tmp_path: Path) -> None:
    for bound, given in ((str(tmp_path / "s"), str(tmp_path / "s")), (f"\0{tmp_path}", f"@{tmp_path}")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(bound)
            manager.settimeout(5)
            notifier = Notifier({"NOTIFY_SOCKET": given, "WATCHDOG_USEC": "60000000"})
            notifier.ready("well")
            notifier.alive()
            notifier.alive()  # not due again
            notifier.stopping()
            assert manager.recv(999) == b"READY=1\nSTATUS=well"
            assert manager.recv(999) == b"WATCHDOG=1"
            assert manager.recv(999).startswith(b"STOPPING=1")
    assert not Notifier({}).tell("READY=1")
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell("READY=1")
    assert Notifier({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}).watchdog_s == 0


def ask(state: ServiceState, path: str, method: str = "GET") -> tuple[str, bytes]:
    said: list[str] = []
    body = application(state)(
        {"PATH_INFO": path, "REQUEST_METHOD": method}, lambda status, headers: said.append(status)
    )
    return said[0], b"".join(body)


def test_health_and_readiness_say_why_not() -> None:
    state = ServiceState()
    assert ask(state, "/healthz")[0].startswith("200")
    status, body = ask(state, "/readyz")
    assert status.startswith("503")
    assert "not started" in json.loads(body)["reason"]
    state.set("running")
    assert ask(state, "/readyz")[0].startswith("200")
    state.set("failed", "block 'air': gone")
    status, body = ask(state, "/healthz")
    assert status.startswith("503")
    assert "'air'" in json.loads(body)["reason"]
    assert ask(state, "/healthz", "HEAD")[1] == b""
    assert ask(state, "/nothing")[0].startswith("404")
    assert ask(state, "/healthz", "POST")[0].startswith("405")


def test_a_supervisor_that_is_stuck_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ServiceState()
    state.set("running")
    monkeypatch.setattr("semstream.serving.state.SILENT_S", -1.0)
    assert "supervisor" in state.health()[1]["reason"]


def test_a_port_in_use_is_one_line() -> None:
    server = HttpServer(ServiceState(), 0)
    try:
        with pytest.raises(FlowgraphError, match=rf"--port {server.port}: cannot listen at 127.0.0.1 .*in use"):
            HttpServer(ServiceState(), server.port)
    finally:
        server.close()


class Counting(Block):
    """Publishes, and gives nothing."""

    def frames(self) -> Any:
        for i in range(50):
            self.publish({"psnr_db": 20.0 + i, "snr_db": 7.0, "branch": "b"})
        return iter(())


def test_records_are_counted_and_let_go_of() -> None:
    graph = Flowgraph("counted")
    graph.add(Counting())
    run = graph.run()
    watch = Watch(run)
    watch.trim()
    assert run.records == {"counting": []}
    run.records["counting"].append({"psnr_db": 30.0, "snr_db": 7.0, "branch": "b"})
    assert watch.snapshot()["quality"][0]["n"] == 51


def exported() -> set[str]:
    """Names of all metrics that the service gives."""
    graph = Flowgraph("small")
    graph.add(Counting())
    state = ServiceState()
    state.watch(Watch(graph.run()))
    return set(re.findall(r"^# TYPE (\w+)", ask(state, "/metrics")[1].decode(), re.MULTILINE))


def test_every_metric_of_the_dashboard_is_one_that_the_service_gives() -> None:
    board = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    text = json.dumps([target["expr"] for panel in board["panels"] for target in panel["targets"]])
    text += json.dumps([variable["query"] for variable in board["templating"]["list"]])
    named, given = set(re.findall(r"semstream_\w+", text)), exported()
    assert len(named) > 20
    assert not named - given
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_unit_and_the_container_call_serve_as_it_is() -> None:
    unit = (ROOT / "deploy" / "semstream.service").read_text(encoding="utf-8")
    container = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    calls = [shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1])]  # type: ignore[index]
    calls.append(json.loads(re.search(r"^ENTRYPOINT (.*)$", container, re.MULTILINE)[1]))  # type: ignore[index]
    help_ = subprocess.run(
        [sys.executable, "-m", "semstream.cli", "serve", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    for call in calls:
        assert call[1] == "serve"
        for option in (word for word in call if word.startswith("--")):
            assert option in help_
    for copied in re.findall(r"^COPY (.*) \S+$", container, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())
    assert "Type=notify" in unit
    assert "WatchdogSec=" in unit


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed: apt-get install systemd")
    unit = tmp_path / "semstream.service"
    text = (ROOT / "deploy" / "semstream.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/semstream/bin/semstream", "/usr/bin/env"), encoding="utf-8")  # one that is there
    found = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (found.returncode, [line for line in found.stderr.splitlines() if "semstream" in line]) == (0, [])

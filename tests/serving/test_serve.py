"""`semstream serve` as its user has it: started, asked over HTTP, hit, reloaded, ended."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from semstream.runtime import FlowgraphFileError, SettingsError
from semstream.runtime.durable.state import holds_run
from semstream.serving.supervisor import FlowgraphFile
from tools.bench_parts.owners import journal_bytes

ROOT = Path(__file__).resolve().parents[2]
TEXT = """
semstream: 1
name: NAME
blocks:
  pictures: {class: "monitor_blocks:Pictures", settings: {count: COUNT, every_s: 0.01}}
  noise: {class: "monitor_blocks:Noise"}
  quality: {class: "monitor_blocks:Quality"}
edges:
  - connect: pictures -> noise -> quality.reconstruction
  - connect: pictures -> quality.reference
"""


class Service:
    """The command in a process, and what it says."""

    def __init__(self, file: Path, *options: str, **environment: str) -> None:
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "monitor")])
        command = [sys.executable, "-m", "semstream.cli", "serve", str(file), "--port", "0", "--log", "json", *options]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path} | environment
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines)]

    def said(self, text: str) -> bool:
        return any(text in line for line in list(self.lines))

    def port(self) -> int:
        """Of its HTTP server; 0 as long as it has not said."""
        found = re.search(r"http://127\.0\.0\.1:(\d+)", "".join(self.lines))
        return int(found[1]) if found else 0

    def get(self, path: str) -> tuple[int, str]:
        if not self.port():
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port()}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def until(self, true: Callable[[], bool], what: str) -> None:
        pause = threading.Event()
        for _ in range(600):
            if true():
                return
            assert self.process.poll() is None or what == "end", f"ended before {what}: {''.join(self.lines)}"
            pause.wait(0.05)
        raise AssertionError(f"not {what}: {''.join(self.lines)}")

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def children(self) -> dict[int, str]:
        """Name by process, of all below the service."""
        parents = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, rest = re.match(r"\d+ \((.*)\) . (\d+)", entry.read_text()).groups()  # type: ignore[union-attr]
            except OSError:
                continue
            parents[int(entry.parent.name)] = (int(rest), name)
        below = {self.process.pid}
        while more := {p for p, (parent, _) in parents.items() if parent in below} - below:
            below |= more
        return {p: parents[p][1] for p in below - {self.process.pid}}

    def end(self) -> int:
        try:
            return self.process.wait(20)
        finally:
            self._reader.join(5)


@pytest.fixture
def started() -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def start(*arguments: Any, **environment: str) -> Service:
        services.append(Service(*arguments, **environment))
        return services[-1]

    yield start
    for service in services:
        if service.process.poll() is None:
            service.process.kill()
        service.end()


def write(path: Path, name: str = "small", count: int = -1) -> Path:
    path.write_text(TEXT.replace("NAME", name).replace("COUNT", str(count)), encoding="utf-8")
    return path


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for a lazy init to take note of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def hear(manager: socket.socket, told: list[str]) -> None:
    """Take what the manager is told until the service stops: its queue holds few messages."""
    while not told or not told[-1].startswith("STOPPING=1"):
        told.append(manager.recv(4096).decode())


def test_a_service_lives_through_a_kill_reloads_and_ends_in_order(started: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "small.yaml")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        told: list[str] = []
        listener = threading.Thread(target=hear, args=(manager, told), daemon=True)
        listener.start()
        service = started(
            file, "--engine", "processes", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="3000000"
        )
        service.until(service.ready, "ready")
        assert service.get("/healthz")[0] == 200
        assert 'semstream_running{flowgraph="small"} 1.0' in service.get("/metrics")[1]

        (victim,) = (pid for pid, name in service.children().items() if name == "noise")
        os.kill(victim, signal.SIGKILL)
        service.until(lambda: "semstream_service_restarts_total 1.0" in service.get("/metrics")[1], "restarted")
        service.until(service.ready, "ready again")
        errors = [line for line in service.log() if line["level"] == "error"]
        assert "'noise'" in errors[0]["message"]
        assert "SIGKILL" in errors[0]["message"]
        assert errors[0]["failed_block"] == "noise"

        file.write_text("semstream: 1\nname: small\nblocks: {noise: {class: Nothing}}\n", encoding="utf-8")
        service.process.send_signal(signal.SIGHUP)
        service.until(lambda: service.said("not reloaded"), "refused")
        assert service.said("small.yaml:3")
        assert json.loads(service.get("/readyz")[1])["reloads"] == {"done": 0, "refused": 1}
        assert service.ready()

        write(file, "other")
        service.process.send_signal(signal.SIGHUP)
        service.until(lambda: 'semstream_running{flowgraph="other"} 1.0' in service.get("/metrics")[1], "reloaded")
        service.until(service.ready, "ready with the new file")

        children = service.children()
        service.process.send_signal(signal.SIGTERM)
        assert service.end() == 0
        assert not [pid for pid in children if lives(pid)]
        listener.join(10)
        assert not listener.is_alive()
    assert any(text.startswith("READY=1") for text in told)
    assert any(text.startswith("RELOADING=1\nMONOTONIC_USEC=") for text in told)
    assert "WATCHDOG=1" in told
    assert all({"time", "level", "logger", "message"} <= set(line) for line in service.log())


def test_a_flowgraph_that_always_fails_is_given_up_with_exit_code_1(started: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "small.yaml")
    (tmp_path / "bad_block.py").write_text(
        "from monitor_blocks import Noise\nclass Bad(Noise):\n    def start(self):\n        raise OSError('no disk')\n"
    )
    file.write_text(file.read_text().replace("monitor_blocks:Noise", "bad_block:Bad"))
    service = started(file, "--restart-limit", "2", "--restart-wait", "0.01")
    assert service.end() == 1
    assert sum("starts, engine" in line["message"] for line in service.log()) == 3
    assert service.said("given up")
    failed = next(line for line in service.log() if line["level"] == "error")
    assert "no disk" in failed["message"]
    assert "OSError" in failed["traceback"]


def test_the_end_of_the_stream_ends_the_service_in_order(started: Any, tmp_path: Path) -> None:
    service = started(write(tmp_path / "small.yaml", count=3))
    assert service.end() == 0
    assert service.said("come to its end")


def test_a_service_that_was_killed_goes_on_where_it_was(started: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "small.yaml", count=50)
    text = file.read_text().replace("name: small", "name: small\ndurable: true\nstate_folder: state")
    file.write_text(text)
    first = started(file)
    first.until(lambda: journal_bytes(tmp_path / "state") > 2000, "recorded")
    first.process.kill()
    first.end()
    file.write_text(text.replace("count: 50", "count: 51"))
    other = started(file)
    assert other.end() == 1
    assert other.said("count is 50 there and 51 here")
    file.write_text(text)
    again = started(file)
    assert again.end() == 0
    assert again.said("goes on where it was")
    assert again.said("come to its end")
    assert not holds_run(tmp_path / "state")


def test_what_cannot_be_served_is_said_at_once(started: Any, tmp_path: Path) -> None:
    service = started(write(tmp_path / "small.yaml"), "--address", "192.0.2.1")
    assert service.end() == 2
    assert service.said("192.0.2.1")
    assert not service.said("Traceback")


def test_a_file_that_is_wrong_says_where_and_an_edit_counts_once_it_is_reloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "monitor"))
    with pytest.raises(SettingsError, match="<= 255"):
        FlowgraphFile(write(tmp_path / "small.yaml"), ["noise.step=999"])
    file = FlowgraphFile(tmp_path / "small.yaml", ["noise.step=9"], seed=5)
    write(tmp_path / "small.yaml", name="edited")
    assert (file.graph().name, file.graph().seed) == ("small", 5)
    (tmp_path / "small.yaml").write_text(TEXT.replace("noise:", "noise?:"), encoding="utf-8")
    with pytest.raises(FlowgraphFileError, match=r"small.yaml:\d+: "):
        file.reload()
    assert file.graph().name == "small"
    write(tmp_path / "small.yaml", name="edited")
    file.reload()
    assert file.graph().name == "edited"
    assert file.graph().blocks["noise"].settings.step == 9  # type: ignore[attr-defined]

"""Child processes that share what a fork server has imported, and what happens where there is none."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from runtime_blocks import Collect, Ramp, Where, seqs
from test_flowgraph import wait_for

from semstream.runtime import Flowgraph, FlowgraphError


class Heavy(Where):
    """Says what had been imported when it started."""

    class Settings(Where.Settings):
        modules: str = ""

    def preload(self) -> list[str]:
        return self.settings.modules.split()

    def start(self) -> None:
        self.publish({"pid": os.getpid(), "parent": os.getppid(), "there": "colorsys" in sys.modules})


@pytest.fixture
def unfit(tmp_path: Path) -> Iterator[None]:
    """Modules that no fork server survives, or should."""
    (tmp_path / "ends_its_process.py").write_text("import os; os._exit(3)\n")
    thread = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    (tmp_path / "starts_a_thread.py").write_text(thread)
    sys.path.insert(0, str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))


def link(modules: str, count: int = 3) -> Flowgraph:
    graph = Flowgraph("forked")
    graph.connect(
        Ramp(count=count, every_s=0.001), Heavy(modules=modules, name="heavy"), Heavy(name="light"), Collect()
    )
    return graph


def test_children_are_forked_with_what_their_blocks_preload() -> None:
    run = link("colorsys").run("processes", timeout=60)
    heavy, light = run.records["heavy"][0], run.records["light"][0]
    assert heavy["there"]
    assert not light["there"]  # it did not wait for that
    assert heavy["parent"] == light["parent"] != os.getpid()
    assert len({heavy["pid"], light["pid"], heavy["parent"]}) == 3
    assert seqs(run.records["collect"]) == [0, 1, 2]


@pytest.mark.usefixtures("unfit")
@pytest.mark.parametrize(("module", "why"), [("ends_its_process", "has died"), ("starts_a_thread", "starts threads")])
def test_without_a_fork_server_blocks_start_their_own_interpreters_and_the_log_says_so(
    module: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "semstream"):
        run = link(module).run("processes", timeout=60)
    assert seqs(run.records["collect"]) == [0, 1, 2]
    assert run.records["heavy"][0]["parent"] == os.getpid()
    (record,) = [r.getMessage() for r in caplog.records if "fork server" in r.getMessage()]
    assert why in record


def test_a_system_without_pidfd_starts_interpreters(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with caplog.at_level(logging.WARNING, "semstream"):
        run = link("colorsys").run("processes", timeout=60)
    assert run.records["light"][0]["parent"] == os.getpid()
    assert "no fork server" in caplog.text


def test_a_fork_server_whose_owner_dies_without_reading_what_it_said_ends_silently_and_tidies_up(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    mine, theirs = socket.socketpair()
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-c", "from semstream.runtime.engines.fork_server import main; main()",
             str(theirs.fileno()), str(folder)],
            stderr=subprocess.PIPE, pass_fds=[theirs.fileno()],
        )  # fmt: skip
    job = b'{"import": []}'
    mine.sendall(len(job).to_bytes(4, "big") + job)
    assert select.select([mine], [], [], 30)[0]  # it has answered
    mine.close()
    assert server.communicate(timeout=30)[1] == b""
    assert server.returncode == 0
    assert not folder.exists()


def test_children_outlive_their_fork_server_and_are_still_named_when_killed() -> None:
    run = link("", count=-1).start("processes")
    wait_for(lambda: len(run.records["collect"]) > 5)
    told = run.records["heavy"][0]
    os.kill(told["parent"], signal.SIGKILL)
    seen = len(run.records["collect"])
    wait_for(lambda: len(run.records["collect"]) > seen + 100)
    os.kill(told["pid"], signal.SIGKILL)
    with pytest.raises(FlowgraphError, match="block 'heavy': its process has ended"):
        run.wait(20)

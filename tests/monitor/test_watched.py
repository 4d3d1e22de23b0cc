"""A command that is watched: one address, viewers on other hosts by their keys, the page held after the end."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from test_monitor import graph_of
from test_page import Reader

from semstream.monitor.client import MonitorClient
from semstream.monitor.watched import watched
from semstream.runtime import CurveKeys, FlowgraphError, Run
from semstream.runtime.files.keyfile import write_keys

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = '''
"""A link without networks."""
from monitor_blocks import Noise, Pictures, Quality
from semstream.runtime import Flowgraph
from semstream.script import run_as_command


def flowgraph(count: int = 20) -> Flowgraph:
    """Send pictures."""
    graph = Flowgraph("small")
    pictures, noise, quality = Pictures(count=count, every_s=0.01), Noise(), Quality()
    graph.connect(pictures, noise, quality.reconstruction)
    graph.connect(pictures, quality.reference)
    return graph


if __name__ == "__main__":
    run_as_command(flowgraph)
'''


@pytest.fixture
def endless() -> Iterator[Run]:
    run = graph_of(-1, 0.01).start()
    yield run
    run.stop()


def said(run: Run, control: bool, keys: CurveKeys | None = None) -> Iterator[str]:
    """What the command prints while it serves."""
    text = io.StringIO()
    with watched(run, "auto", control, 0, Console(file=text, width=60), keys):
        yield text.getvalue()


def test_the_command_prints_one_address_with_the_token_in_it(endless: Run) -> None:
    for text in said(endless, control=True):
        (address,) = re.findall(r"http://\S+", text)
        reader = Reader(address)
        assert reader.wait(lambda m: "access" in m)["access"]
        reader.close()
    for text in said(endless, control=False):
        (address,) = re.findall(r"http://\S+", text)
        assert "token" not in text
        reader = Reader(address)
        assert "--control" in reader.wait(lambda m: "access" in m)["why"]
        reader.close()


def test_viewers_on_other_hosts_need_a_key_that_the_file_names(endless: Run) -> None:
    server, viewer, stranger = CurveKeys.generate(), CurveKeys.generate(), CurveKeys.generate()
    keys = CurveKeys(server.public, server.secret, clients=(viewer.public,))
    for text in said(endless, True, keys):
        (port,) = re.findall(r"THIS_HOST:(\d+)", text)
        endpoint = f"tcp://127.0.0.1:{port}"
        with MonitorClient(endpoint, CurveKeys(viewer.public, viewer.secret, server.public)) as client:
            snapshot = client.snapshot(10)
            assert snapshot is not None
            assert snapshot["name"] == "watched"
        for refused in (None, CurveKeys(stranger.public, stranger.secret, server.public)):
            with MonitorClient(endpoint, refused) as client:
                assert client.snapshot(0.5) is None
        reader = Reader(re.findall(r"http://\S+", text)[0])
        assert reader.wait(lambda m: "document" in m)["parts"]["head"]
        reader.close()


def test_keys_that_name_nobody_end_the_run_with_one_line(endless: Run) -> None:
    with (
        pytest.raises(FlowgraphError, match="names no clients"),
        watched(endless, "auto", False, 0, Console(file=io.StringIO()), CurveKeys.generate()),
    ):
        pass
    assert endless.finished


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    script = tmp_path / "small.py"
    script.write_text(SCRIPT, encoding="utf-8")
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "monitor")])
    return subprocess.Popen(
        [sys.executable, "-u", str(script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


def until(command: subprocess.Popen[str], pattern: str) -> str:
    """What a command prints up to a line that fits."""
    assert command.stdout is not None
    lines = []
    for line in command.stdout:
        lines.append(line)
        if re.search(pattern, line):
            break
    return "".join(lines)


def test_a_page_is_held_after_the_end_until_ctrl_c(tmp_path: Path) -> None:
    command = start(tmp_path, "--monitor", "auto", "--hold")
    try:
        text = until(command, "held: ")
        assert "20 records" in text or "small: finished" in text
        reader = Reader(re.findall(r"http://\S+", text)[0])
        assert reader.wait(lambda m: "document" in m)["parts"]["state"]["label"] == "ended"
        command.send_signal(signal.SIGINT)
        assert command.wait(30) == 0
        assert reader.closed.wait(10)
    finally:
        command.kill()


def test_ctrl_c_with_the_page_open_shows_the_browser_that_the_link_was_stopped(tmp_path: Path) -> None:
    command = start(tmp_path, "--count", "-1", "--monitor", "auto", "--hold")
    try:
        reader = Reader(re.findall(r"http://\S+", until(command, "http://"))[0])
        reader.wait(lambda m: "document" in m)
        command.send_signal(signal.SIGINT)
        assert command.wait(30) == 130
        assert reader.closed.wait(10)
        states = [m["parts"]["state"]["label"] for m in reader.messages if "state" in m.get("parts", {})]
        assert states[-1] == "stopped"
    finally:
        command.kill()


@pytest.mark.parametrize("option", ["--hold", "--monitor-keys"])
def test_what_is_about_the_page_needs_one(tmp_path: Path, option: str) -> None:
    keys = tmp_path / "keys"
    write_keys(CurveKeys.generate(), keys)
    command = start(tmp_path, option, *([str(keys)] if option == "--monitor-keys" else []))
    text, _ = command.communicate(timeout=60)
    assert command.returncode == 2
    assert f"{option} needs --monitor" in text
    assert "Traceback" not in text


def test_a_key_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("public: short\n", encoding="ascii")
    command = start(tmp_path, "--monitor", "auto", "--monitor-keys", str(keys))
    text, _ = command.communicate(timeout=60)
    assert command.returncode == 2
    assert "CURVE keys" in text
    assert "Traceback" not in text
    done = subprocess.run(
        [sys.executable, "-m", "semstream.cli", "top", "--curve", str(keys)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "CURVE keys" in done.stderr
    assert "Traceback" not in done.stderr

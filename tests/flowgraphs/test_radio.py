"""The flowgraphs on the radio as a user runs them: GNU Radio in the loop, one that is not there or dies, SigMF."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from radio import needs_radio
from radio_fixtures import free_endpoint

from semstream.radio.process import PROGRAM as CHANNEL
from semstream.radio.process import SYSTEM_PYTHON

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = "companion/channel.py"


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "flowgraphs" / script), *arguments]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(script, *arguments), capture_output=True, text=True, timeout=100, check=False)


def radios_of(parent: int) -> list[int]:
    """GNU Radios that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"PPid:\t{parent}\n" in (path / "status").read_text()
            if mine and PROGRAM.encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def is_alive(pid: int) -> bool:
    try:
        return PROGRAM.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    pause = threading.Event()
    while not what() and seconds > 0:
        pause.wait(0.1)
        seconds -= 0.1


@pytest.mark.gnuradio
def test_gnu_radios_noise_costs_what_ours_does(gnuradio: None, tmp_path: Path) -> None:
    options = ["--size", "96", "--frames", "10", "--snr", "4,13", "--lpips", "off", "--out", str(tmp_path)]
    result = run("gnuradio_link.py", "--channels", "awgn,cfo", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    apart = {
        branch: [float(gain) for gain in re.findall(r"([+-][\d.]+) at", line)]
        for branch, line in re.findall(r"^gnuradio-(\w+) against (.*)$", result.stdout, re.MULTILINE)
    }
    assert all(abs(gain) <= 0.2 for gain in apart["awgn"])
    assert all(-1.2 < gain < 0.2 for gain in apart["cfo"])
    assert [len(gains) for gains in apart.values()] == [2, 2]
    rows = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert {r["branch"] for r in rows} == {"semstream-awgn", "gnuradio-awgn", "gnuradio-cfo"}
    assert len(rows) == 30
    by_branch = {r["branch"]: r["channel_uses"] for r in rows}
    assert by_branch["gnuradio-awgn"] == by_branch["semstream-awgn"] + 16  # the zeros that push a burst out count
    assert by_branch["gnuradio-cfo"] > by_branch["gnuradio-awgn"]  # and pilots


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    """Starts a link that goes on, waits until it has given a picture, and hands over it and its GNU Radio."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], int]:
        options = ["--channels", "awgn", "--size", "48", "--frames", "100000", "--lpips", "off", "--out", str(tmp_path)]
        process = subprocess.Popen(
            command("gnuradio_link.py", *options, *arguments),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        running.append(process)
        pictures = tmp_path / "snapshots"
        wait_for(lambda: any(pictures.glob("gnuradio*_received.png")) or process.poll() is not None)
        (radio,) = radios_below(process.pid)
        return process, radio

    yield start
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def radios_below(parent: int) -> list[int]:
    """GNU Radios that a process or its children have started."""
    generation, found = [parent], []
    while generation:
        found += [radio for pid in generation for radio in radios_of(pid)]
        generation = [int(path.name) for path in Path("/proc").glob("[0-9]*") if parent_of(path) in generation]
    return found


def parent_of(path: Path) -> int:
    try:
        return int(re.findall(r"^PPid:\t(\d+)$", (path / "status").read_text(), re.MULTILINE)[0])
    except (OSError, IndexError):
        return -1


@pytest.mark.gnuradio
def test_a_gnu_radio_killed_in_the_middle_ends_the_link_with_one_message(gnuradio: None, started: Any) -> None:
    process, radio = started()
    os.kill(radio, signal.SIGKILL)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1, output
    assert "GNU Radio" in output
    assert "signal 9" in output
    assert "gnuradio.awgn" in output
    assert "Traceback" not in output
    assert "gnuradio-awgn" in output  # and what had arrived is reported


@pytest.mark.gnuradio
@pytest.mark.parametrize(
    ("number", "engine"), [(signal.SIGINT, "threads"), (signal.SIGINT, "processes"), (signal.SIGKILL, "processes")]
)
def test_no_gnu_radio_is_left_behind(gnuradio: None, started: Any, number: int, engine: str) -> None:
    process, radio = started("--engine", engine)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert "Traceback" not in output
    wait_for(lambda: not is_alive(radio), 10)
    assert not is_alive(radio)


def test_a_gnu_radio_that_is_not_there_is_one_clear_message(tmp_path: Path) -> None:
    options = ["--channels", "awgn", "--size", "48", "--frames", "2", "--lpips", "off", "--out", str(tmp_path)]
    result = run("gnuradio_link.py", *options, "--python", "/no/such/python")
    told = result.stdout + result.stderr
    assert result.returncode == 1
    assert "there is no /no/such/python" in told
    assert "apt-get install gnuradio" in told
    assert "Traceback" not in told


def test_endpoints_that_nobody_serves_are_named(tmp_path: Path) -> None:
    send, receive = free_endpoint(), free_endpoint()
    result = run(
        "gnuradio_link.py", "--channels", "awgn", "--size", "48", "--frames", "5", "--lpips", "off", "--send", send,
        "--receive", receive, "--set", "gnuradio.awgn.timeout=0.3", "--out", str(tmp_path),
    )  # fmt: skip
    told = result.stdout + result.stderr
    assert result.returncode == 1
    assert send in told
    assert receive in told
    assert "Traceback" not in told


def test_a_recording_is_played_to_the_pictures_of_the_link(tmp_path: Path) -> None:
    air, options = str(tmp_path / "air"), ["--size", "48", "--frames", "4", "--snr", "4,10", "--lpips", "off"]
    sent = run(
        "sigmf_link.py", "record", "--path", air, *options, "--save", str(tmp_path / "a"), "--out", str(tmp_path)
    )
    assert sent.returncode == 0, sent.stdout + sent.stderr
    played = run("sigmf_link.py", "play", "--path", air, "--save", str(tmp_path / "b"), "--out", str(tmp_path))
    assert played.returncode == 0, played.stdout + played.stderr
    pictures = [sorted((tmp_path / side).glob("*.png")) for side in ("a", "b")]
    assert [len(side) for side in pictures] == [4, 4]
    for a, b in zip(*pictures, strict=True):
        assert a.read_bytes() == b.read_bytes()


# -- transmitter and receiver with nothing but samples between them ---------------------------------------------------


@needs_radio
def test_the_two_programs_of_the_readme_send_pictures_through_a_file(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    python flowgraphs/(radio_[tr]x\.py) (.*)$", text, re.MULTILINE)
    assert [script for script, _ in commands] == ["radio_tx.py", "radio_rx.py"]
    (_, sent), (_, heard) = commands
    first = run_in(tmp_path, "radio_tx.py", *sent.split(), "--frames", "4", "--size", "32")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "sent 4 frames of 1" in first.stdout
    second = run_in(tmp_path, "radio_rx.py", *heard.split(), "--lpips", "off")
    assert second.returncode == 0, second.stdout + second.stderr
    assert re.search(r"^4 frames in \d+ samples; nothing lost$", second.stdout, re.MULTILINE)
    rows = [json.loads(line) for line in (tmp_path / "out/radio_rx/records.jsonl").read_text().splitlines()]
    assert [row["seq"] for row in rows] == [0, 1, 2, 3]
    assert min(row["psnr_db"] for row in rows) > 18
    size = (tmp_path / "out/air.cf32").stat().st_size // 8
    assert 4 * 2 * rows[0]["channel_uses"] <= size <= 4 * 2 * rows[0]["channel_uses"] + 5000


def run_in(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(script, *arguments), cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )


@needs_radio
def test_samples_that_hold_no_frame_end_the_receiver_with_one_message(tmp_path: Path) -> None:
    (tmp_path / "noise.cf32").write_bytes(bytes(80_000))
    result = run_in(tmp_path, "radio_rx.py", "--samples", "noise.cf32")
    told = result.stdout + result.stderr
    assert result.returncode == 1
    assert "frame_synchronizer" in told
    assert "no frame in all" in told
    assert "Traceback" not in told


@needs_radio
@pytest.mark.gnuradio
@pytest.mark.parametrize("modulation", ["qam", "pam"])
def test_the_two_programs_send_pictures_through_gnu_radio(gnuradio: None, tmp_path: Path, modulation: str) -> None:
    to, of, kept = free_endpoint(), free_endpoint(), str(tmp_path / "sent")
    (tmp_path / "sent").mkdir()
    channel = [SYSTEM_PYTHON, str(CHANNEL), "--mode", "raw", "--receive", to, "--send", of]
    options = ["--noise-voltage", "0.447", "--frequency-offset", "0.005"]
    radio = subprocess.Popen([*channel, *options], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    hears = ["--samples", of, "--compare", kept, "--modulation", modulation, "--lpips", "off", "--silence", "8"]
    receiver = subprocess.Popen(
        command("radio_rx.py", *hears, "--out", str(tmp_path / "rx")),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        sends = ["--to", to, "--save", kept, "--modulation", modulation, "--size", "48", "--frames", "12"]
        sent = run("radio_tx.py", *sends, "--out", str(tmp_path / "tx"))
        assert sent.returncode == 0, sent.stdout + sent.stderr
        output, _ = receiver.communicate(timeout=100)
    finally:
        receiver.kill()
        radio.kill()
        radio.communicate()
    assert receiver.returncode == 0, output
    assert re.search(r"^12 frames in \d+ samples; nothing lost$", output, re.MULTILINE), output
    rows = [json.loads(line) for line in (tmp_path / "rx/records.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert sum(row["psnr_db"] for row in rows) / 12 > 22

"""The flowgraphs as a user runs them: commands with real processes, sockets and files."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codec_fixtures import smooth_pictures
from PIL import Image
from radio import needs_radio

ROOT = Path(__file__).resolve().parent.parent.parent
FAST = ["--size", "48", "--lpips", "off"]


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "flowgraphs" / script), *arguments]


def run(script: str, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(script, *arguments), capture_output=True, text=True, timeout=timeout, check=False)


def read_records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


def without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k not in ("latency_ms", "completed_ns")} for r in records]


@pytest.fixture
def started() -> Iterator[Any]:
    """Starts commands and kills what is left of them after the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(script, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def port() -> int:
    """The first of two free TCP ports."""
    for first in range(42000, 60000, 7):
        with socket.socket() as a, socket.socket() as b:
            try:
                a.bind(("127.0.0.1", first))
                b.bind(("127.0.0.1", first + 1))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports")


def names_an_edge(output: str, port: int) -> bool:
    """Whether symbols' or pictures' edge is named: either may be missed first."""
    return any(f"tcp://127.0.0.1:{p}" in output for p in (port, port + 1))


@pytest.mark.parametrize(
    "script",
    [
        "awgn_link.py",
        "fading_link.py",
        "two_processes.py",
        "custom_block.py",
        "adaptive_link.py",
        "many_users.py",
        "digital_link.py",
        "gnuradio_link.py",
        "radio_tx.py",
        "radio_rx.py",
        "sigmf_link.py",
    ],
)
def test_every_flowgraph_explains_itself_and_stays_short(script: str) -> None:
    result = run(script, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout
    assert len((ROOT / "flowgraphs" / script).read_text().splitlines()) < 100


def test_the_link_leaves_records_figures_and_a_table(tmp_path: Path) -> None:
    result = run("awgn_link.py", *FAST, "--frames", "4", "--snr", "4,inf", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    records = read_records(tmp_path)
    assert len(records) == 4 * 3
    assert {r["branch"] for r in records} == {"optimal", "uniform", "unquantized"}
    assert {r["snr_db"] for r in records} == {4.0, "inf"}
    for row in records:
        if row["branch"] != "unquantized":
            assert row["bits_per_feature"] <= 3
    with (tmp_path / "records.csv").open() as file:
        assert [float(r["psnr_db"]) for r in csv.DictReader(file)] == [r["psnr_db"] for r in records]
    for name in ("quality_vs_snr.png", "frames.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 300
    assert "optimal" in result.stdout
    assert "PSNR" in (tmp_path / "table.txt").read_text()


def test_the_same_seed_gives_the_same_records_under_threads_and_processes(tmp_path: Path) -> None:
    options = [*FAST, "--frames", "3", "--snr", "7,1", "--channel", "rayleigh", "--scheme", "optimal,uniform"]
    runs = {
        (engine, seed): run(
            "awgn_link.py", *options, "--engine", engine, "--seed", seed, "--out", str(tmp_path / engine / seed)
        )
        for engine, seed in (("threads", "5"), ("processes", "5"), ("threads", "6"))
    }
    assert [r.returncode for r in runs.values()] == [0, 0, 0]
    records = {key: without_times(read_records(tmp_path / key[0] / key[1])) for key in runs}
    assert records["threads", "5"] == records["processes", "5"]
    assert records["threads", "5"] != records["threads", "6"]


def test_estimated_csi_gives_the_same_records_under_threads_and_processes(tmp_path: Path) -> None:
    options = [*FAST, "--frames", "2", "--snr", "10", "--channels", "awgn,rayleigh", "--coherence", "64"]
    records = {}
    for engine in ("threads", "processes"):
        out = tmp_path / engine
        result = run(
            "fading_link.py", *options, "--csi", "perfect,estimated", "--engine", engine, "--set",
            "*.timing_offset=20", "--out", str(out),
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        records[engine] = sorted(without_times(read_records(out)), key=lambda r: (r["branch"], r["seq"]))
    assert records["threads"] == records["processes"]
    uses = {r["branch"]: r["channel_uses"] for r in records["threads"]}
    assert uses["awgn-estimated"] == uses["awgn-perfect"] + 64
    assert uses["awgn-perfect"] > 12 * 12 * 32 / 2 / 0.9 * 0.99


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_ctrl_c_prints_the_report_of_what_had_arrived(started: Any, tmp_path: Path, engine: str) -> None:
    process = started("awgn_link.py", *FAST, "--frames", "100000", "--engine", engine, "--out", str(tmp_path))
    # The first snapshot is on disk once a frame has passed the whole link.
    appeared = threading.Event()
    deadline = 60.0
    while not any((tmp_path / "snapshots").glob("*_received.png")) and deadline > 0 and process.poll() is None:
        appeared.wait(0.1)
        deadline -= 0.1
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=15)
    assert process.returncode == 130, output
    assert "interrupted" in output
    assert "Traceback" not in output
    assert read_records(tmp_path)


def test_a_paced_link_drops_what_is_late_and_counts_it(tmp_path: Path) -> None:
    result = run(
        "awgn_link.py", "--size", "160", "--lpips", "off", "--frames", "60", "--fps", "500", "--out", str(tmp_path)
    )
    assert result.returncode == 0, result.stderr
    dropped = int(result.stdout.split("late frames dropped: ")[1].split(";")[0])
    assert dropped > 0
    assert 0 < len(read_records(tmp_path)) < 60 * 3


def test_a_corrupt_picture_in_a_folder_is_skipped_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i, picture in enumerate(smooth_pictures(3, 48)):
        Image.fromarray(picture).save(folder / f"{i}.png")
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    result = run("awgn_link.py", *FAST, "--source", str(folder), "--frames", "4", "--out", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    assert "corrupt_picture" in result.stdout
    assert len(read_records(tmp_path / "out")) == 4 * 3


def test_pictures_of_any_size_and_kind_pass_the_link_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    random = np.random.default_rng(0)

    def noise(*shape: int) -> np.ndarray:
        return random.integers(0, 256, shape, dtype=np.uint8)

    Image.fromarray(noise(1, 1, 3)).save(folder / "1.png")
    Image.fromarray(noise(47, 33, 3)).save(folder / "2.png")
    Image.fromarray(noise(10, 4000, 3)).save(folder / "3.png")
    Image.fromarray(noise(20, 20)).save(folder / "4.png")
    Image.fromarray(noise(20, 20, 4)).save(folder / "5.png")
    Image.fromarray(random.integers(0, 2**16, (20, 20), dtype=np.uint16)).save(folder / "6.png")
    (folder / "7.png").write_bytes(b"no picture")
    options = [
        "--size",
        "0",
        "--lpips",
        "off",
        "--source",
        str(folder),
        "--frames",
        "6",
        "--snr",
        "10",
        "--scheme",
        "optimal",
    ]
    result = run("awgn_link.py", *options, "--out", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    sizes = [(r["width"], r["height"]) for r in read_records(tmp_path / "out")]
    assert sizes == [(1, 1), (33, 47), (4000, 10), (20, 20), (20, 20), (20, 20)]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--source", "/no/such/folder"], 1, "/no/such/folder"),
        (["--weights", "/no/such/weights"], 1, "/no/such/weights"),
        (["--snr", "loud"], 2, "loud"),
        (["--scheme", "best"], 2, "best"),
        (["--bits", "0"], 2, "bits"),
        (["--engine", "steam"], 2, "steam"),
    ],
)
def test_a_wrong_option_is_one_clear_message_and_an_exit_code(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    result = run("awgn_link.py", *FAST, *arguments, "--out", str(tmp_path))
    assert result.returncode == code
    assert words in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_fading_channels_share_one_transmitter(tmp_path: Path) -> None:
    result = run("fading_link.py", *FAST, "--frames", "2", "--snr", "10", "--coherence", "16", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    records = read_records(tmp_path)
    assert {r["branch"] for r in records} == {"awgn", "rayleigh", "rician", "composite"}
    quality = {name: np.mean([r["psnr_db"] for r in records if r["branch"] == name]) for name in ("awgn", "rayleigh")}
    assert quality["awgn"] > quality["rayleigh"]


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_a_block_of_ones_own_runs_under_every_engine(tmp_path: Path, engine: str) -> None:
    result = run(
        "custom_block.py", "--size", "48", "--frames", "2", "--snr", "19", "--phase-noise", "20", "--engine", engine,
        "--out", str(tmp_path),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    quality = {r["branch"]: r["psnr_db"] for r in read_records(tmp_path)}
    assert quality["steady"] > quality["phase-noise"] + 1


def test_transmitter_and_receiver_meet_over_tcp(started: Any, tmp_path: Path, port: int) -> None:
    options = ["--lpips", "off", "--port", str(port), "--out", str(tmp_path), "--save", str(tmp_path / "pictures")]
    receiver = started("two_processes.py", "receive", *options)
    transmitter = started(
        "two_processes.py", "transmit", "--size", "48", "--frames", "5", "--snr", "9", "--port", str(port)
    )
    assert transmitter.wait(90) == 0, transmitter.communicate()[0]
    assert receiver.wait(90) == 0, receiver.communicate()[0]
    assert [r["seq"] for r in read_records(tmp_path)] == [0, 1, 2, 3, 4]
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 5


def test_a_receiver_whose_transmitter_is_killed_says_so_and_keeps_what_had_arrived(
    started: Any, tmp_path: Path, port: int
) -> None:
    receiver = started("two_processes.py", "receive", "--lpips", "off", "--port", str(port), "--out", str(tmp_path))
    transmitter = started("two_processes.py", "transmit", "--size", "48", "--frames", "100000", "--port", str(port))
    wait = threading.Event()
    for _ in range(600):
        if any((tmp_path / "snapshots").glob("*_received.png")) or receiver.poll() is not None:
            break
        wait.wait(0.1)
    transmitter.kill()
    output, _ = receiver.communicate(timeout=30)
    assert receiver.returncode == 1, output
    assert names_an_edge(output, port)
    assert "Traceback" not in output
    assert read_records(tmp_path)


def test_a_receiver_without_a_transmitter_says_what_to_start(tmp_path: Path, port: int) -> None:
    result = run("two_processes.py", "receive", "--patience", "1", "--port", str(port), "--out", str(tmp_path))
    assert result.returncode == 1
    assert names_an_edge(result.stdout + result.stderr, port)
    assert "Traceback" not in result.stdout + result.stderr


def test_a_port_in_use_is_named(tmp_path: Path, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        result = run("two_processes.py", "transmit", "--size", "48", "--frames", "1", "--port", str(port))
    assert result.returncode == 1
    assert str(port) in result.stdout + result.stderr
    assert "in use" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("snr", ["given", "estimated"])
def test_adapting_to_bandwidth_and_snr_beats_every_fixed_budget(tmp_path: Path, snr: str) -> None:
    result = run(
        "adaptive_link.py", "--size", "48", "--frames", "20", "--dwell", "2", "--fixed", "4,16", "--snr", snr,
        "--out", str(tmp_path),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    gain = float(result.stdout.partition("adapting gains ")[2].partition(" dB")[0])
    assert gain > 0.5
    adaptive = [r for r in read_records(tmp_path) if r["branch"] == "adaptive"]
    assert len({r["channel_uses"] for r in adaptive}) > 2


def test_users_of_one_band_come_and_go_and_gain_by_sharing_it(tmp_path: Path) -> None:
    result = run(
        "many_users.py", "--users", "2", "--snr", "1,19", "--size", "48", "--frames", "4", "--away", "2:1-2",
        "--rules", "equal,max_min", "--step", "1", "--measure", "4", "--out", str(tmp_path),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    records = read_records(tmp_path)
    seqs = {branch: [r["seq"] for r in records if r["branch"] == branch] for branch in ("user 1 equal", "user 2 equal")}
    assert seqs == {"user 1 equal": [0, 1, 2, 3], "user 2 equal": [0, 2, 3]}
    spent = re.findall(r"^(\w+): .*; (\d+) channel uses, energy (\d+)$", result.stdout, re.MULTILINE)
    assert [rule for rule, *_ in spent] == ["equal", "max_min"]
    assert spent[0][1:] == spent[1][1:]
    assert float(result.stdout.partition("worst user +")[2].partition(" dB")[0]) > 0.5


def test_an_absence_of_nobody_is_one_line(tmp_path: Path) -> None:
    result = run("many_users.py", "--users", "2", "--away", "3:1-2", "--out", str(tmp_path))
    assert result.returncode == 2
    assert "USER:FRAME-FRAME of users 1 to 2" in result.stderr


@needs_radio
def test_order_and_rate_that_follow_the_snr_beat_those_made_for_one(tmp_path: Path) -> None:
    result = run(
        "adaptive_link.py", "--modulation", "qam", "--size", "64", "--frames", "12", "--dwell", "3", "--fixed", "4,13",
        "--snr-db", "4,13", "--channel", "awgn", "--out", str(tmp_path),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert float(result.stdout.partition("adapting gains ")[2].partition(" dB")[0]) > 0.5
    records = read_records(tmp_path)
    assert not any(r["concealed"] for r in records if r["branch"] == "adaptive")
    assert {r["branch"] for r in records} == {"adaptive", "fixed 4 dB", "fixed 13 dB"}


@needs_radio
def test_coded_bits_fall_off_a_cliff_where_amplitudes_slope(tmp_path: Path) -> None:
    result = run(
        "digital_link.py", "--size", "32", "--lpips", "off", "--snr", "3,5,7,13", "--frames", "12",
        "--out", str(tmp_path),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    records = read_records(tmp_path)

    def quality(branch: str, snr_db: float) -> float:
        return float(np.mean([r["psnr_db"] for r in records if r["branch"] == branch and r["snr_db"] == snr_db]))

    assert max(r["channel_uses"] for r in records) == 8 * 8 * 32 // 2
    assert quality("ldpc", 7) - quality("ldpc", 5) > 3
    assert quality("ldpc", 13) - quality("ldpc", 7) < 0.3
    assert 0.5 < quality("pam", 7) - quality("pam", 5) < 3
    assert quality("unequal", 5) > quality("ldpc", 5) + 2
    assert quality("power", 3) > quality("uncoded", 3) + 0.5
    assert "capacity, bits a channel use: 1.58 at 3 dB" in result.stdout
    assert "of 12 headers lost" in result.stdout
    for name in ("quality_vs_snr.png", "frames.png", "table.txt"):
        assert (tmp_path / name).is_file()


@needs_radio
@pytest.mark.parametrize(("option", "value"), [("--design-snr", "nan"), ("--size", "16"), ("--branches", "fsk")])
def test_what_a_digital_link_cannot_be_is_one_line(option: str, value: str, tmp_path: Path) -> None:
    result = run("digital_link.py", option, value, "--frames", "1", "--out", str(tmp_path))
    assert result.returncode == 2
    assert "Traceback" not in result.stderr

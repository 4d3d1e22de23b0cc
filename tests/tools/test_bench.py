"""The bench runs and reports in its form. What it measures depends on the machine and is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from radio import needs_radio

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench.py"


def run_bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str, str]:
    """Report, markdown and output of one quick run of the parts that need no PyTorch."""
    out = tmp_path_factory.mktemp("bench")
    done = run_bench("--quick", "--only", "hop,age,pack", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((out / "bench.json").read_text()), (out / "bench.md").read_text(), done.stdout


def test_the_report_says_what_the_numbers_depend_on(bench: tuple[dict, str, str]) -> None:
    report, _, printed = bench
    machine = report["machine"]
    assert report["quick"] is True
    assert report["failures"] == {}
    assert machine["cores"] >= 1
    assert machine["python"] == sys.version.split()[0]
    assert machine["versions"]["pyzmq"]
    assert "load average" in printed


def test_every_size_and_transport_is_compared_with_pyzmq_by_a_positive_ratio(bench: tuple[dict, str, str]) -> None:
    rows = bench[0]["parts"]["hop"]["rows"]
    places = {(row["transport"], row["bytes"]) for row in rows}
    assert places == {(t, n) for t in ("inproc", "ipc", "tcp") for n in (1_000, 16_384, 262_144, 4_194_304)}
    for row in rows:
        for ratio, number in (("latency_ratio_pyzmq", "p50_us"), ("rate_ratio_pyzmq", "per_s")):
            assert row[ratio] > 0
            assert row[ratio] == pytest.approx(row[f"ours_{number}"] / row[f"pyzmq_{number}"])
        assert row["ours_p99_us"] >= row["ours_p50_us"] > 0


def test_ezmsg_is_measured_or_its_absence_is_said_in_one_line(bench: tuple[dict, str, str]) -> None:
    report, _, printed = bench
    ratios = [row["rate_ratio_ezmsg"] for row in report["parts"]["hop"]["rows"]]
    if report["machine"]["versions"]["ezmsg"]:
        assert all(ratio > 0 for ratio in ratios)
    else:
        assert ratios == [None] * len(ratios)
        assert "ezmsg: not installed" in printed


def test_age_is_measured_at_each_credit_and_for_push_pull(bench: tuple[dict, str, str]) -> None:
    rows = bench[0]["parts"]["age"]["rows"]
    assert [row["edge"] for row in rows] == [*(f"ours, credit {n}" for n in (1, 2, 8)), "pyzmq, PUSH/PULL, HWM 1"]
    assert all(row["max_ms"] >= row["p50_ms"] > 0 and row["per_s"] > 0 for row in rows)


def test_packing_is_measured_at_exactly_the_budgeted_bits(bench: tuple[dict, str, str]) -> None:
    rows = bench[0]["parts"]["pack"]["rows"]
    assert len(rows) == 2 * 2 * 5
    for row in rows:
        h, w, channels = map(int, row["shape"].split("x"))
        budget = row["bits"] * h * w * channels
        assert 0.99 * budget < 1e3 * row["payload_kbit"] <= budget
        assert min(row["both_mbit_s"], row["coder_mbit_s"], row["packbits_mbit_s"], row["pack_ratio"]) > 0


def test_every_goal_has_a_verdict_that_follows_from_its_number(bench: tuple[dict, str, str]) -> None:
    goals = [goal for part in bench[0]["parts"].values() for goal in part["goals"]]
    assert len(goals) == 12
    for goal in goals:
        if goal["measured"] is None:
            assert goal["met"] is None
        else:
            below = goal["measured"] <= goal["limit"]
            assert goal["met"] == (below if goal["below"] else goal["measured"] >= goal["limit"])


def test_the_markdown_and_the_output_hold_the_same_tables_with_units(bench: tuple[dict, str, str]) -> None:
    _, markdown, printed = bench
    for words in ("ours p50 [µs]", "frames/s", "Mbit/s", "Frame age behind a consumer of 10 ms a frame", "Goals"):
        assert words in markdown
    for words in ("ours p50 [µs]", "Frame age behind a consumer of 10 ms a frame", "Goals"):
        assert words in printed


@needs_radio
def test_decoding_is_measured_and_its_threshold_held_to_the_published_one(tmp_path: Path) -> None:
    done = run_bench("--quick", "--only", "ldpc", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "bench.json").read_text())["parts"]["ldpc"]["rows"]
    decoders = {row["decoder"]: row for row in rows if "decoder" in row}
    assert decoders["ours, sum-product, none decodes"]["iterations"] == 10
    assert decoders["ours, sum-product, all decode"]["iterations"] < 10
    assert {(row["size"], row["kind"]) for row in rows if "kind" in row} == {
        (size, kind) for size in (32, 64) for kind in ("uncoded", "power", "unequal", "ldpc")
    }
    (point,) = [row for row in rows if "published_db" in row]
    assert point["gap_db"] < 0.3


def test_an_unknown_part_is_refused_by_name(tmp_path: Path) -> None:
    done = run_bench("--only", "hop,speed", "--out", tmp_path)
    assert done.returncode == 2
    assert "expected some of hop, age, chain, pack, codec, link, start, overhead, monitor, ldpc" in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_bench_that_is_stopped_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH), "--only", "age", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bench:
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
        if not children.exists():
            bench.kill()
            pytest.skip("this system does not list the children of a process")
        while bench.poll() is None and not (workers := children.read_text().split()):
            pass
        bench.terminate()
        assert bench.wait(30) == 143
    deadline = time.monotonic() + 20
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, f"workers {workers} still run"


def is_running(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

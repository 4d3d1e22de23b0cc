"""The soak judges what it samples: what grows is called so, what wanders is not, and what is left behind is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.soak import while_it_ran  # noqa: E402
from tools.soaking.figure import draw  # noqa: E402
from tools.soaking.processes import Sample, family, sample  # noqa: E402
from tools.soaking.trend import fit, judge, judge_count  # noqa: E402

HOUR = list(np.arange(0.0, 3600.0, 5.0))
NOISE = np.random.default_rng(1).normal(0, 3.0, len(HOUR))


def test_a_line_is_found_with_an_interval_that_holds_it() -> None:
    trend = fit(HOUR, 500 + 12 * np.array(HOUR) / 3600 + NOISE)
    assert trend.low < 12 < trend.high
    assert trend.mean == pytest.approx(506, abs=0.5)
    assert 0 < trend.half < 3


def test_samples_that_wander_together_do_not_make_it_surer() -> None:
    slow = np.repeat(np.random.default_rng(2).normal(0, 3.0, 24), len(HOUR) // 24)
    assert fit(HOUR, slow).half > 2 * fit(HOUR, NOISE).half


@pytest.mark.parametrize(("slope", "word"), [(0.0, "flat"), (-20.0, "flat"), (40.0, "grows")])
def test_what_grows_for_sure_is_told_from_what_does_not(slope: float, word: str) -> None:
    verdict = judge("memory", "MiB", HOUR, 500 + slope * np.array(HOUR) / 3600 + NOISE, 5.0)
    assert verdict.word == word
    assert "memory" in verdict.text


def test_a_run_too_short_to_say_is_undecided_and_one_of_two_samples_is_refused() -> None:
    assert judge("memory", "MiB", HOUR[:9], 500 + NOISE[:9], 5.0).word == "undecided"
    with pytest.raises(ValueError, match="run longer"):
        fit([0, 1], [1, 2])


def test_a_count_may_go_up_and_down_and_not_drift() -> None:
    steady = [10, 11, 10, 10, 12, 10] * 6
    assert judge_count("threads", range(36), steady).word == "flat"
    assert judge_count("threads", range(36), [n + i // 12 for i, n in enumerate(steady)]).word == "grows"


def test_a_sample_sees_descriptors_threads_files_and_shared_memory(tmp_path: Path) -> None:
    before = sample(os.getpid(), tmp_path, 0.0)
    (tmp_path / "left").touch()
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    fd = os.memfd_create("soak")
    os.write(fd, bytes(2**20))
    try:
        after = sample(os.getpid(), tmp_path, 1.0)
    finally:
        os.close(fd)
        wait.set()
        thread.join()
    assert (after.threads, after.descriptors) == (before.threads + 1, before.descriptors + 1)
    assert (after.segments, after.entries) == (before.segments + 1, before.entries + 1)
    assert after.segments_mib == pytest.approx(before.segments_mib + 1)
    assert 0 < after.owner_mib <= after.pss_mib + 1e-9 <= after.rss_mib + 1


def test_a_child_is_of_the_family() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        try:
            assert {os.getpid(), child.pid} <= set(family(os.getpid()))
        finally:
            child.kill()


def test_the_figure_shows_the_samples(tmp_path: Path) -> None:
    one = Sample(0.0, 9.0, 8.0, 4.0, 1, 5, 20, 0, 0.0, 0, 0)
    samples = [replace(one, at_s=float(at), pss_mib=8 + at / 60, records=at) for at in range(0, 60, 5)]
    verdicts = [judge("pss_mib", "MiB", [s.at_s for s in samples], [s.pss_mib for s in samples], 1.0)]
    draw(samples, 15.0, verdicts, tmp_path / "soak.png", "an example")
    assert (tmp_path / "soak.png").stat().st_size > 10_000


@pytest.mark.parametrize(("engine", "cycles"), [("threads", 4), ("processes", 2)])
def test_cycles_leave_nothing_behind(engine: str, cycles: int, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "soak.py"), "--cycles", str(cycles), "--engine", engine]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=100)
    report = json.loads((tmp_path / "soak.json").read_text())
    assert report["left"] == {}, done.stdout
    assert report["failed"] == []
    assert len(report["cycles"]) == cycles
    assert all(cycle["records"] for cycle in report["cycles"])


def test_what_comes_after_a_failure_is_not_judged() -> None:
    one = Sample(0.0, 9.0, 8.0, 4.0, 30, 5, 20, 0, 0.0, 0, 0)
    samples = [replace(one, at_s=float(at)) for at in range(5)]
    assert while_it_ran([*samples, replace(one, processes=2), replace(one, processes=1)]) == samples
    assert while_it_ran(samples) == samples
    assert while_it_ran([]) == []

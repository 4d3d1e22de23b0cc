"""Sweeps: the same file from one process, several, or a cluster that loses a host; gone on with after a crash."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from codec_fixtures import smooth_pictures
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))
sys.path.append(str(ROOT / "tests" / "runtime"))

from cluster_fixtures import hosts, needs_ray  # noqa: E402
from test_evaluate import run_tool  # noqa: E402

from tools.evaluation.case import Case, make_cases  # noqa: E402
from tools.evaluation.pictures import open_pictures  # noqa: E402
from tools.evaluation.run import Evaluation  # noqa: E402
from tools.evaluation.simulate import Simulator  # noqa: E402
from tools.evaluation.table import Results, Row, TableError, describe, read_rows  # noqa: E402
from tools.sweeping.desk import Desk  # noqa: E402
from tools.sweeping.grid import Cargo, Job, Point, describe_point, points_of  # noqa: E402
from tools.sweeping.heatmap import plot_heatmap  # noqa: E402
from tools.sweeping.journal import Journal  # noqa: E402
from tools.sweeping.workers import SweepError, on_cluster, on_cores  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(smooth_pictures(3, 32)):
        Image.fromarray(picture).save(path / f"{i}.png")
    return path


def options(folder: Path, weights: Path, out: Path, *more: object) -> list[object]:
    grid = ["--channel", "awgn", "rayleigh", "--snr", 4, 10, "--bits", 2, 4, "--scheme", "optimal", "none"]
    return ["--images", folder, "--weights", weights, "--seeds", 0, 1, *grid, "--out", out, *more]


def rows_of(seeds: int = 2) -> list[Row]:
    cases = make_cases(["awgn"], [4.0, 10.0], ["optimal", "none"], [2.0, 4.0])
    return [
        describe(case, "some", 3, "tiny", seed) | {"psnr_db": 20.0 + case.snr_db + case.bits + seed}
        for case in cases
        for seed in range(seeds)
    ]


def test_the_file_is_the_same_whoever_measures_and_wherever_it_was_stopped(
    folder: Path, weights: Path, tmp_path: Path
) -> None:
    one, many = tmp_path / "one.csv", tmp_path / "many.csv"
    cases = make_cases(["awgn", "rayleigh"], [4, 10], ["optimal", "none"], [2, 4])
    points, pictures = points_of(cases, [str(weights)], [0, 1]), open_pictures(folder)
    journal, desk = Journal(one), Desk(Job(str(folder), 0, 0, "fp32"))
    for point in reversed(points):
        journal.add(desk.measure(point))
    lines = one.read_bytes().splitlines(keepends=True)
    journal.put_in_order([describe_point(point, pictures) for point in points])
    many.write_bytes(b"".join([*lines[:15], lines[15][:17]]))  # as a crash leaves it, the last line torn
    result = run_tool("sweep.py", *options(folder, weights, many, "--workers", 2, "--heatmap", tmp_path / "map.png"))
    assert result.returncode == 0, result.stderr
    assert many.read_bytes() == one.read_bytes()
    assert "24 of 24 points" in result.stdout
    assert "24 of 24 points (100%)" in result.stderr  # no bar where there is no terminal: a line
    assert (tmp_path / "map.png").stat().st_size > 5000


def test_a_point_is_the_row_of_an_evaluation(folder: Path, weights: Path) -> None:
    case = Case("rayleigh", 7.0, "optimal", 3.0, "lloyd_max", "sensitivity", 0, "linear")
    simulator = Simulator(str(weights), seed=5, precision="fp32")
    (expected,) = Evaluation(simulator, open_pictures(folder), Results(None)).measure([case], quiet=True)
    row = Desk(Job(str(folder), 0, 0, "fp32")).measure(Point(str(weights), 5, case))
    assert row == expected | {"seconds_per_image": None}


def test_a_case_that_is_not_possible_is_a_row_that_says_so(folder: Path, weights: Path) -> None:
    case = Case("awgn", 7.0, "optimal", 11.9, "fixed_point", "sensitivity", 0, "linear", csi="estimated", pilots=0.1)
    row = Desk(Job(str(folder), 0, 0, "fp32")).measure(Point(str(weights), 0, case))
    assert row["psnr_db"] is not None or "not possible" in row["note"]


def test_a_journal_keeps_whole_lines_and_drops_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "some" / "sweep.csv"
    rows = rows_of()
    journal = Journal(path)
    for row in reversed(rows):
        journal.add(row)
    with path.open("ab") as file:
        file.write(b"some,awgn,4,opt")
    again = Journal(path)
    assert len(again.rows) == len(rows)
    assert all(again.find(row) for row in rows)
    again.put_in_order(rows)
    assert [row["psnr_db"] for row in read_rows(path)] == [row["psnr_db"] for row in rows]


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="name another --out"):
        Journal(path)
    assert path.read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize("schemes", [["optimal", "none"], ["optimal"]])
def test_a_heat_map_shows_every_point(tmp_path: Path, schemes: list[str]) -> None:
    rows = [row for row in rows_of() if row["scheme"] in schemes]
    rows[0]["psnr_db"] = None
    plot_heatmap(rows, tmp_path / "map.svg")
    text = (tmp_path / "map.svg").read_text()
    assert "<svg" in text
    plot_heatmap([rows[0] | {"psnr_db": np.inf}], tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()


def test_a_worker_that_is_killed_is_told_in_one_line(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools.sweeping import workers

    monkeypatch.setattr(workers, "measure", _die)
    points = points_of([Case("awgn", 4.0, "none")], [str(weights)], [0, 1])
    with pytest.raises(SweepError, match="a worker was killed"):
        list(on_cores(Job(str(folder), 0, 0, "fp32"), points, 1))


def _die(job: Job, point: Point) -> Row:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_an_address_where_no_cluster_answers_is_told_at_once(folder: Path, weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    result = run_tool("sweep.py", *options(folder, weights, tmp_path / "a.csv", "--address", "127.0.0.1:1"))
    assert result.returncode == 2
    assert "sweep: no Ray cluster at 127.0.0.1:1: Connection refused" in result.stderr
    assert "Traceback" not in result.stderr


@needs_ray
@pytest.mark.cluster
def test_a_cluster_that_loses_a_host_gives_the_rows_of_this_machine(folder: Path, weights: Path) -> None:
    cases = make_cases(["awgn", "rayleigh"], [1.0, 4.0, 10.0], ["optimal", "none"], [2.0, 4.0])
    points = points_of(cases, [str(weights)], [0, 1])
    job = Job(str(folder), 0, 0, "fp32")
    desk = Desk(job)
    expected = [desk.measure(point) for point in points]
    cargo = Cargo.load(open_pictures(folder), [str(weights)])
    assert list(cargo.weights) == [str(weights)]
    notes: list[str] = []
    with hosts() as cluster:
        cluster.add("alpha", 2)
        cluster.add("beta", 3)
        found = {}
        for count, (number, row) in enumerate(on_cluster(job, points, cargo, cluster.address, notes.append)):
            found[number] = row
            if count == 5:
                cluster.kill("beta")
    assert [found[number] for number in range(len(points))] == expected
    assert notes[0] == "3 hosts with 5 CPU"

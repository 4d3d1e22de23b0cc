"""Evaluation: cases, honest baselines, a table that is gone on with, and the commands."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from codec_fixtures import smooth_pictures
from PIL import Image
from radio import needs_radio

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))

from semstream.phy import capacity  # noqa: E402
from tools.evaluation import baselines  # noqa: E402
from tools.evaluation.case import Case, CaseError, make_cases  # noqa: E402
from tools.evaluation.pictures import Batch, open_pictures  # noqa: E402
from tools.evaluation.run import Evaluation  # noqa: E402
from tools.evaluation.simulate import Simulator  # noqa: E402
from tools.evaluation.table import COLUMNS, Results, TableError, describe, read_rows, summary, text_table  # noqa: E402


def run_tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_a_table_from_before_rates_is_gone_on_with(tmp_path: Path) -> None:
    case = make_cases(["awgn"], [7.0], ["none"])[0]
    described = describe(case, "some", 4, "tiny", 0)
    Results(tmp_path / "r.csv").add(described | {"psnr_db": 30.0})
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    old = [name for name in COLUMNS if name not in ("asked_cbr", "copies")]
    with (tmp_path / "old.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, old, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    results = Results(tmp_path / "old.csv")
    assert results.find(described)["psnr_db"] == 30.0
    assert results.find(describe(make_cases(["awgn"], [7.0], ["none"], cbrs=[0.1])[0], "some", 4, "tiny", 0)) is None


def test_cases_leave_out_what_does_not_matter() -> None:
    cases = make_cases(["awgn"], [1, 7], ["none", "uniform", "optimal"], [2, 3], contributions=["std", "gradient"])
    assert len([c for c in cases if c.scheme == "none"]) == 2
    assert len([c for c in cases if c.scheme == "uniform"]) == 4
    assert len([c for c in cases if c.scheme == "optimal"]) == 8
    (paper,) = make_cases(["awgn"], [1], ["paper"], [2])
    assert (paper.classes, paper.quantizer, paper.contribution) == (3, "fixed_point", "gradient")
    with pytest.raises(CaseError, match="--bits"):
        make_cases(["awgn"], [1], ["uniform"], [0])
    with pytest.raises(CaseError, match="--snr"):
        make_cases(["awgn"], [math.nan], ["uniform"], [1])


def test_capacity_of_known_channels() -> None:
    assert capacity.bits_per_use("awgn", 0) == pytest.approx(1)
    assert capacity.bits_per_use("awgn", 10) == pytest.approx(math.log2(11))
    # Rayleigh: e^(1/snr)·E1(1/snr)/ln 2.
    assert capacity.bits_per_use("rayleigh", 10) == pytest.approx(math.exp(0.1) * 1.8229240 / math.log(2), abs=1e-4)
    between = capacity.bits_per_use("rayleigh", 10), capacity.bits_per_use("awgn", 10)
    assert between[0] < capacity.bits_per_use("rician", 10) < between[1]
    assert between[0] < capacity.bits_per_use("composite", 10) < between[1]
    assert math.isinf(capacity.bits_per_use("awgn", math.inf))


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_a_picture_codec_takes_the_best_quality_within_its_bits(name: str) -> None:
    if not baselines.available(name):
        pytest.skip(f"this Pillow has no {name}")
    picture = smooth_pictures(1, 64, seed=2)[0]
    small, large = (baselines.best_that_fits(picture, name, bits) for bits in (8_000, 30_000))
    assert small.fits
    assert small.bits <= 8_000 < large.bits <= 30_000
    free = baselines.best_that_fits(picture, name, 8_000, count_headers=False)
    error = [np.square(f.picture.astype(float) - picture).mean() for f in (small, large, free)]
    assert error[1] < error[0]
    assert error[2] <= error[0]
    nothing = baselines.best_that_fits(picture, name, 100)
    assert not nothing.fits
    assert nothing.picture.reshape(-1, 3).std(axis=0).max() == 0


def test_rows_are_kept_gone_on_with_and_read_back(simulator: Simulator, folder: Path, tmp_path: Path) -> None:
    pictures = open_pictures(folder)
    cases = make_cases(["awgn"], [7, math.inf], ["uniform"], [2, 0.01], baselines=["jpeg"])
    first = Evaluation(simulator, pictures, Results(tmp_path / "r.csv")).measure(cases, quiet=True)
    assert next(row["note"] for row in first if row["budget_bits"] == 0.01).startswith("not possible")
    again = Results(tmp_path / "r.csv")
    assert len(again.rows) == len(cases) == len(first)

    class Unused(Simulator):
        def __init__(self) -> None:
            self.__dict__ = simulator.__dict__

        def simulate(self, batch: Batch, case: Case) -> list:
            raise AssertionError("measured again")

    second = Evaluation(Unused(), pictures, again).measure(cases, quiet=True)
    for a, b in zip(first, second, strict=True):
        assert b["psnr_db"] == (None if a["psnr_db"] is None else pytest.approx(a["psnr_db"], rel=1e-5))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="--out"):
        read_rows(tmp_path / "other.csv")
    assert "uniform" in text_table(first)


def test_means_of_bits_count_pictures_by_their_size(simulator: Simulator, folder: Path) -> None:
    outcomes = [
        o
        for batch in open_pictures(folder).batches
        for o in simulator.simulate(batch, Case("awgn", 7.0, "uniform", 2.0, "lloyd_max"))
    ]
    row = summary(outcomes)
    assert row["bits_per_feature"] == 2
    assert row["cbr"] == pytest.approx(sum(o.channel_uses for o in outcomes) / sum(o.source_values for o in outcomes))
    assert row["psnr_ci95"] == pytest.approx(1.96 * row["psnr_std"] / 2)


def test_the_command_writes_the_columns_and_names_what_it_left_out(folder: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    command = (
        "evaluate.py", "--images", folder, "--channel", "awgn", "--snr", 7, "inf", "--bits", 3, 5,
        "--scheme", "optimal", "none", "--weights", weights, "--lpips", "off", "--out", out, "--figures", tmp_path,
    )  # fmt: skip
    done = run_tool(*command)
    assert done.returncode == 0, done.stderr
    assert "4.png" in done.stderr
    assert "AM/GM" in done.stdout
    assert sorted(p.name for p in tmp_path.glob("*.png")) == [
        "ms_ssim_vs_bits.png",
        "ms_ssim_vs_snr.png",
        "psnr_db_vs_bits.png",
        "psnr_db_vs_snr.png",
    ]
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(r["snr_db"], r["scheme"], r["budget_bits"]) for r in rows] == [
        (snr, *kind) for snr in ("7", "inf") for kind in (("optimal", "3"), ("optimal", "5"), ("none", "0"))
    ]
    assert all(float(r["psnr_db"]) > 10 and r["n_images"] == "4" for r in rows)


@needs_radio
def test_modulations_are_columns_of_the_table(folder: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    done = run_tool(
        "evaluate.py", "--images", folder, "--size", 64, "--snr", 7, 13, "--weights", weights, "--lpips", "off",
        "--modulation", "pam", "qam-ldpc", "capacity", "--design-snr", 7, "--out", out, "--figures", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = read_rows(out)
    assert [(r["modulation"], r["design_snr_db"]) for r in rows[:3]] == [
        ("pam", None), ("qam-ldpc", 7.0), ("capacity", None)
    ]  # fmt: skip
    assert "qam-ldpc" in done.stdout
    assert (tmp_path / "psnr_db_vs_snr.png").is_file()


def test_bits_need_a_scheme_that_makes_them() -> None:
    with pytest.raises(CaseError, match="--modulation"):
        make_cases(["awgn"], [7], ["none"], modulations=["qam-ldpc"])
    with pytest.raises(CaseError, match="--design-snr"):
        make_cases(["awgn"], [7], ["optimal"], modulations=["qam-ldpc"], design_snr_db=math.nan)
    cases = make_cases(["awgn"], [7], ["none", "optimal"], [2, 3], modulations=["pam", "qam-ldpc"])
    assert [c.modulation for c in cases].count("qam-ldpc") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--images", "/nowhere"), "nothing of this name"),
        (("--bits", "99"), "--bits"),
        (("--weights", "none.safetensors"), "no such file"),
    ],
)
def test_what_the_user_can_mend_is_one_line(options: tuple[str, ...], words: str) -> None:
    done = run_tool("evaluate.py", "--lpips", "off", "--limit", 1, "--size", 32, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_study_is_made_again_in_part_and_gone_on_with(folder: Path, weights: Path, tmp_path: Path) -> None:
    command = (
        "reproduce.py", "--dataset", folder, "--limit", 2, "--weights", weights, "--lpips", "off", "--out", tmp_path,
        "--only", "figure6", "table1", "table4", "strip", "bits", "rates",
    )  # fmt: skip
    done = run_tool(*command)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "report.md").read_text()
    for name in ("figure6_psnr_db.png", "strip.png", "bits.png", "rates.png"):
        assert name in report
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 100
    for printed in ("33.12", "+12 %", "training step", "28.56 dB at 1/12"):
        assert printed in report
    assert len(read_rows(tmp_path / "results.csv")) == 20 + 4 + 24  # two of the table are in the figure

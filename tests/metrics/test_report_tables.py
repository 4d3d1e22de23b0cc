import csv
import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from semstream.metrics.report import percentile, read_jsonl, summarise, table, text_table, write_csv, write_jsonl
from semstream.metrics.results import Ordered


def record(branch="uniform", snr_db=10.0, **values):
    return {"branch": branch, "snr_db": snr_db, "channel": "awgn", **values}


def test_means_deviations_and_counts_are_per_branch_and_snr():
    rows = summarise(
        [
            record(psnr_db=30.0, ms_ssim=0.9),
            record(psnr_db=34.0, ms_ssim=0.8),
            record(branch="other", psnr_db=1.0),
            record(snr_db=1.0, psnr_db=20.0),
        ]
    )
    assert [(r["snr_db"], r["branch"], r["count"]) for r in rows] == [
        (1, "uniform", 1),
        (10, "uniform", 2),
        (10, "other", 1),
    ]
    assert rows[1]["psnr_db"] == 32.0
    assert rows[1]["psnr_db_std"] == pytest.approx(math.sqrt(8))
    assert rows[1]["ms_ssim"] == pytest.approx(0.85)
    assert rows[0]["psnr_db_std"] is None
    assert rows[1]["channel"] == "awgn"


def test_values_that_were_not_measured_do_not_count():
    rows = summarise([record(lpips=math.nan), record(lpips=0.2), record(lpips=None), record()])
    assert rows[0]["lpips"] == 0.2
    assert rows[0]["count"] == 4
    for missing in (math.nan, None, np.float32(np.nan)):
        assert summarise([record(lpips=missing)] * 2)[0]["lpips"] is None


def test_infinite_psnr_and_snr_are_kept():
    row = summarise([record(snr_db=math.inf, psnr_db=math.inf), record(snr_db=math.inf, psnr_db=40.0)])[0]
    assert row["snr_db"] == row["psnr_db"] == math.inf
    assert row["psnr_db_std"] is None


def test_a_setting_that_changes_within_a_group_is_left_out():
    assert "scheme" not in summarise([record(scheme="a"), record(scheme="b")])[0]
    assert summarise([record(scheme="a"), record(scheme="a")])[0]["scheme"] == "a"


def test_pictures_that_were_concealed_are_counted_and_shown():
    rows = summarise([record(concealed=1), record(concealed=0), record(concealed=1), record(snr_db=13, concealed=0)])
    assert [row["concealed"] for row in rows] == [2, 0]
    assert "concealed_std" not in rows[0]
    lines = text_table(rows).splitlines()
    column = lines[0].index("concealed") + len("concealed") - 1
    assert (lines[2][column], lines[4][column]) == ("2", "0")


def test_latency_has_its_median_and_its_tail():
    row = summarise([record(latency_ms=float(value)) for value in range(101)])[0]
    assert (row["latency_ms_p50"], row["latency_ms_p99"]) == (50.0, 99.0)
    assert percentile([], 50) is None


def test_frames_per_second_come_from_completion_times_in_any_order():
    rows = summarise([record(completed_ns=5_000_000_000 + step * 20_000_000) for step in (4, 0, 2, 1, 3)])
    assert rows[0]["frames_per_s"] == pytest.approx(50.0)
    assert summarise([record(completed_ns=7)])[0]["frames_per_s"] is None
    assert summarise([record()])[0]["frames_per_s"] is None


def test_numpy_numbers_are_numbers():
    row = summarise([record(snr_db=np.float32(4), psnr_db=np.float32(30), bits=np.int64(3))])[0]
    assert (row["snr_db"], row["psnr_db"], row["bits"]) == (4.0, 30.0, 3.0)


@pytest.mark.parametrize("bad", [{"branch": "a"}, {"snr_db": 1.0}, {"branch": "a", "snr_db": math.nan}])
def test_a_record_without_branch_or_snr_is_refused(bad):
    with pytest.raises(ValueError, match="branch and snr_db"):
        summarise([bad])


AWKWARD = [
    record(seq=0, psnr_db=math.inf, lpips=math.nan, note='a "quoted", line\nwith break'),
    record(seq=np.int64(1), snr_db=math.inf, psnr_db=np.float32(30.5), lpips=None, low=-math.inf, name="Müller"),
]


def test_json_lines_are_strict_and_come_back(tmp_path):
    path = tmp_path / "deep" / "records.jsonl"
    write_jsonl(AWKWARD, path)
    lines = path.read_text(encoding="utf-8").splitlines()

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert rows[0]["psnr_db"] == "inf"
    assert rows[0]["lpips"] is None
    assert read_jsonl(path)[1] == {**AWKWARD[1], "seq": 1, "psnr_db": 30.5}
    assert read_jsonl(path)[0]["psnr_db"] == math.inf


def test_csv_holds_every_column_and_says_inf(tmp_path):
    path = tmp_path / "deep" / "records.csv"
    write_csv(AWKWARD, path)
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert rows[0]["psnr_db"] == rows[1]["snr_db"] == "inf"
    assert rows[1]["low"] == "-inf"
    assert rows[0]["lpips"] == rows[1]["lpips"] == rows[0]["name"] == ""
    assert rows[0]["note"] == AWKWARD[0]["note"]
    assert rows[1]["psnr_db"] == "30.5"


def test_no_records_give_empty_files_and_an_empty_table(tmp_path):
    write_csv([], tmp_path / "a.csv")
    write_jsonl([], tmp_path / "a.jsonl")
    assert read_jsonl(tmp_path / "a.jsonl") == []
    assert "PSNR" in text_table(summarise([]))
    assert table([]).row_count == 0


SUMMARY = summarise(
    [
        record(branch=branch, snr_db=snr, psnr_db=30.0 + step, ms_ssim=0.91, latency_ms=5.0, cbr=1 / 3)
        for snr in (1.0, math.inf)
        for branch in ("[bold]uniform", "other")
        for step in (0, 2)
    ]
)


def test_the_plain_table_shows_each_branch_at_each_snr():
    lines = text_table(SUMMARY, "title", ["LPIPS is missing"]).splitlines()
    assert lines[0] == "title"
    assert lines[-1] == "LPIPS is missing"
    assert lines[1].split("  ")[0] == "SNR dB"
    assert "31.00 ± 1.41" in lines[3]
    assert "n/a" in lines[3]
    assert "0.3333" in lines[3]
    assert lines[6].lstrip().startswith("inf  [bold]uniform")
    assert "frames/s" not in lines[1], "a column without a value is left out"
    assert len({line.index("±") for line in lines if "±" in line}) == 1


def test_the_rich_table_shows_the_same_cells():
    console = Console(file=io.StringIO(), width=200)
    console.print(table(SUMMARY, "title [x]", ["why [y]"]))
    shown = console.file.getvalue()
    for cell in ("title [x]", "[bold]uniform", "other", "31.00 ± 1.41", "0.9100", "n/a", "inf", "why [y]"):
        assert cell in shown


def test_records_of_several_sinks_are_ordered_by_frame_and_branch_wherever_they_lie() -> None:
    rng = np.random.default_rng(1)
    sources = [[{"seq": int(s), "branch": b, "n": n} for n, s in enumerate(rng.integers(0, 9, 30))] for b in "cab"]
    sources.append([{"seq": 1, "branch": "a", "n": 99}, {"other": 1}])
    ordered = Ordered(sources, lambda record: "seq" in record)
    flat = [record for source in sources for record in source if "seq" in record]
    assert list(ordered) == list(ordered) == sorted(flat, key=lambda r: (r["seq"], r["branch"]))
    assert len(ordered) == len(flat) == 91
    assert flat[3] in ordered
    assert not len(Ordered([]))
    assert list(Ordered([[]])) == []

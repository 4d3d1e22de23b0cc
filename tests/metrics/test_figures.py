import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from semstream.metrics.figures import plot_frames, plot_quality_vs_snr
from semstream.metrics.report import summarise


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is saved, for inspection."""
    saved = []
    original = Figure.savefig

    def keep(self, *arguments, **options):
        saved.append(self)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def summary(snrs=(1.0, 7.0, math.inf), branches=("a", "b"), **extra):
    return summarise(
        {"branch": b, "snr_db": snr, "psnr_db": 20.0 + min(snr, 20) + d, "ms_ssim": 0.9 + d / 100, **extra}
        for b in branches
        for snr in snrs
        for d in (-1, 0, 1)
    )


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_each_metric_has_a_panel_with_a_line_and_a_band_a_branch(figures, tmp_path):
    plot_quality_vs_snr(summary(lpips=0.1), tmp_path / "deep" / "q.png", "title")
    panels = figures[0].axes
    assert [axes.get_ylabel() for axes in panels] == ["PSNR (dB)", "MS-SSIM", "LPIPS"]
    assert all("(dB)" in axes.get_xlabel() for axes in panels)
    assert list(lines(panels[0])) == ["a", "b"]
    assert len(panels[0].collections) == 2
    drawn = lines(panels[0])["a"]
    assert list(drawn.get_ydata()) == [21.0, 27.0, 40.0]
    assert list(drawn.get_xdata()) == [1.0, 7.0, 13.0], "infinity stands one step to the right"
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["1", "7", "∞"]
    low, high = panels[0].collections[0].get_paths()[0].vertices[:, 1].min(), 41.0
    assert low == pytest.approx(20.0)
    assert panels[0].collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(high)
    assert Image.open(tmp_path / "deep" / "q.png").size[0] > 1200


def test_branches_differ_in_colour_marker_and_dash(figures, tmp_path):
    plot_quality_vs_snr(summary(branches=tuple("abcde")), tmp_path / "q.png")
    drawn = figures[0].axes[0].get_lines()
    for of in ("get_color", "get_marker"):
        assert len({getattr(line, of)() for line in drawn}) == 5
    assert len({str(line._unscaled_dash_pattern) for line in drawn}) == 5


def test_the_figure_says_why_lpips_is_missing(figures, tmp_path):
    plot_quality_vs_snr(summary(lpips=math.nan), tmp_path / "q.png", lpips_reason="weights are not here")
    assert [text.get_text() for text in figures[0].axes[2].texts] == ["weights are not here"]


@pytest.mark.parametrize("records", [{"snrs": (4.0,)}, {"snrs": (math.inf,)}, {"snrs": (), "branches": ()}])
def test_few_points_still_give_a_figure(tmp_path, records):
    plot_quality_vs_snr(summary(**records), tmp_path / "q.png")
    assert Image.open(tmp_path / "q.png").size[0] > 1200


def test_an_infinite_mean_is_left_out(figures, tmp_path):
    rows = summarise([{"branch": "a", "snr_db": s, "psnr_db": p} for s, p in ((1.0, 20.0), (4.0, math.inf))])
    plot_quality_vs_snr(rows, tmp_path / "q.png")
    assert list(lines(figures[0].axes[0])["a"].get_ydata()) == [20.0]


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_vector_formats_are_written(tmp_path, suffix):
    plot_quality_vs_snr(summary(), tmp_path / f"q.{suffix}")
    assert (tmp_path / f"q.{suffix}").stat().st_size > 1000


def test_frames_stand_in_a_column_an_snr_with_their_psnr(figures, tmp_path):
    black = np.zeros((32, 48, 3), np.uint8)
    received = {"a": {1.0: black + np.uint8(1), 7.0: black}, "b": {7.0: black + np.uint8(255)}}
    plot_frames({7.0: black, 1.0: black}, received, tmp_path / "f.png", "title")
    axes = figures[0].axes
    assert [a.get_title() for a in axes[:2]] == ["SNR 1 dB", "SNR 7 dB"]
    assert [a.get_ylabel() for a in axes[::2]] == ["original", "a", "b"]
    assert [a.get_xlabel() for a in axes] == ["", "", "48.13 dB", "identical", "", "0.00 dB"]
    assert [len(a.images) for a in axes] == [1, 1, 1, 1, 0, 1]
    assert np.array_equal(axes[2].images[0].get_array(), black + 1)
    assert Image.open(tmp_path / "f.png").size[0] > 400


def test_one_original_serves_every_snr(figures, tmp_path):
    picture = np.zeros((1, 1, 3), np.uint8)
    plot_frames(picture, {"a": {math.inf: picture, 4.0: picture}}, tmp_path / "f.png")
    assert [a.get_title() for a in figures[0].axes[:2]] == ["SNR 4 dB", "error-free"]


@pytest.mark.parametrize("shape", [(1, 1, 3), (4000, 10, 3), (10, 4000, 3)])
def test_extreme_shapes_are_shown(tmp_path, shape):
    picture = np.zeros(shape, np.uint8)
    plot_frames({1.0: picture}, {"a": {1.0: picture}}, tmp_path / "f.png")
    assert max(Image.open(tmp_path / "f.png").size) < 4000


def test_no_frames_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least one picture"):
        plot_frames({}, {}, tmp_path / "f.png")

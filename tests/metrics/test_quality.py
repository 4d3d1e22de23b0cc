import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_msssim import ms_ssim as published

from semstream.metrics.quality import MetricError, MsSsimScale, _as_batch, _small_ms_ssim, ms_ssim, ms_ssim_scale, psnr


def pair(height, width, noise=20.0, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    picture = 128 + 60 * np.sin(rows / 9 + seed) + 50 * np.cos(columns / 7)
    picture = np.repeat(picture[..., None], 3, axis=2) * [1.0, 0.9, 0.8]
    noisy = picture + rng.normal(0, noise, picture.shape)
    return tuple(np.clip(p, 0, 255).round().astype(np.uint8) for p in (picture, noisy))


def reference_ms_ssim(first, second):
    tensors = (torch.tensor(p.astype(np.float32)).permute(2, 0, 1)[None] for p in (first, second))
    return float(published(*tensors, data_range=255.0))


def test_golden_values_of_psnr():
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, black + np.uint8(255)) == 0.0
    assert psnr(black, black + np.uint8(1)) == pytest.approx(48.1308036)
    one = black.copy()
    one[0, 0, 0] = 10
    assert psnr(black, one) == pytest.approx(10 * math.log10(255**2 * 48 / 100))
    assert psnr(one, black) == psnr(black, one)


def test_psnr_of_equal_pictures_is_infinite():
    picture, _ = pair(8, 8)
    assert psnr(picture, picture.copy()) == math.inf


def test_psnr_agrees_between_bytes_and_fractions():
    first, second = pair(33, 47)
    assert psnr(first / 255.0, second / 255.0) == pytest.approx(psnr(first, second), abs=1e-9)
    as_float32 = psnr((first / 255).astype(np.float32), (second / 255).astype(np.float32))
    assert as_float32 == pytest.approx(psnr(first, second), abs=1e-4)


def test_psnr_of_a_picture_with_nan_is_nan():
    broken = np.full((4, 4, 3), np.nan)
    assert math.isnan(psnr(np.zeros((4, 4, 3)), broken))


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), r"\(4, 4, 3\) and \(4, 5, 3\)"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), r"\(H, W, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3)), "uint8 and float64"),
        (np.zeros((4, 4, 3), np.int32), np.zeros((4, 4, 3), np.int32), "int32"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(first, second, named):
    for metric in (psnr, ms_ssim):
        with pytest.raises(MetricError, match=named):
            metric(first, second)


@pytest.mark.parametrize("shape", [(161, 161), (256, 256), (161, 300), (171, 203)])
def test_ms_ssim_is_that_of_pytorch_msssim_from_161_pixels(shape):
    first, second = pair(*shape)
    assert ms_ssim_scale(*shape) == (5, 11)
    assert ms_ssim(first, second) == pytest.approx(reference_ms_ssim(first, second), abs=1e-6)
    assert 0.3 < ms_ssim(first, second) < 0.99


@pytest.mark.parametrize("shape", [(161, 161), (171, 203)])
def test_the_loop_for_small_pictures_is_the_published_one(shape):
    first, second = pair(*shape)
    looped = _small_ms_ssim(_as_batch(first), _as_batch(second), 255.0, MsSsimScale(5, 11))
    assert float(looped) == pytest.approx(reference_ms_ssim(first, second), abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 1), (0, 0)),
        ((2, 500), (0, 0)),
        ((3, 3), (1, 3)),
        ((8, 8), (2, 3)),
        ((4000, 10), (3, 3)),
        ((16, 16), (3, 3)),
        ((32, 32), (4, 3)),
        ((33, 47), (5, 3)),
        ((64, 64), (5, 3)),
        ((65, 65), (5, 5)),
        ((128, 128), (5, 7)),
        ((160, 160), (5, 9)),
        ((161, 161), (5, 11)),
        ((2000, 3000), (5, 11)),
    ],
)
def test_scales_and_window_at_each_size(shape, expected):
    assert ms_ssim_scale(*shape) == expected


@pytest.mark.parametrize("side", [32, 161])
def test_the_pictures_are_left_alone_even_if_read_only(side):
    planes = np.random.default_rng(0).random((2, 3, side, side)).astype(np.float32)
    planes.flags.writeable = False
    before = planes.copy()
    first, second = planes.transpose(0, 2, 3, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ms_ssim(first, second)
        psnr(first, second)
    assert np.array_equal(planes, before)


def test_the_setting_says_itself_in_words():
    assert str(ms_ssim_scale(32, 32)) == "MS-SSIM with 4 scales, window 3"
    assert str(ms_ssim_scale(3, 3)) == "MS-SSIM with 1 scale, window 3"
    assert "not defined" in str(ms_ssim_scale(1, 1))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 170), st.integers(1, 170))
def test_ms_ssim_is_defined_at_every_size_from_3_pixels(height, width):
    first, second = pair(height, width)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the library warns where a window does not fit
        value = ms_ssim(first, second)
        same = ms_ssim(first, first)
    if min(height, width) < 3:
        assert math.isnan(value)
        assert math.isnan(same)
    else:
        assert 0.0 <= value < 1.0
        assert same == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("side", [32, 100, 256])
def test_ms_ssim_falls_with_noise_and_agrees_between_bytes_and_fractions(side):
    values = [ms_ssim(*pair(side, side, noise)) for noise in (2.0, 10.0, 40.0)]
    assert values == sorted(values, reverse=True)
    first, second = pair(side, side)
    fractions = ms_ssim((first / 255).astype(np.float32), (second / 255).astype(np.float32))
    assert fractions == pytest.approx(ms_ssim(first, second), abs=1e-4)


def test_the_room_imports_neither_runtime_nor_torch_until_used():
    code = (
        "import sys, semstream.metrics.quality, semstream.metrics.perceptual, semstream.metrics.report,"
        " semstream.metrics.figures;"
        "print([m for m in sys.modules if m.split('.')[0] in ('zmq', 'torch', 'blocks', 'lpips', 'matplotlib')"
        " or m.startswith('semstream.runtime')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"

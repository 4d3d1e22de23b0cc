from __future__ import annotations

import numpy as np
import pytest

from semstream.quantize.errors import QuantizeError
from semstream.quantize.fixed_point import FixedPoint, frame_range, frame_range_bits, split
from semstream.quantize.lloyd_max import thresholds
from semstream.quantize.quantizer import LloydMax, Quantizer, measure_distortion


def searched(quantizer: LloydMax, x: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The definition: number of thresholds below x."""
    widths = np.broadcast_to(bits, x.shape)
    codes = [np.searchsorted(thresholds(quantizer.levels(i[-1], int(widths[i]))), x[i]) for i in np.ndindex(x.shape)]
    return np.array(codes).reshape(x.shape)


@pytest.mark.parametrize("width", range(13))
def test_the_table_look_up_is_exactly_the_search(quantizer: LloydMax, width: int) -> None:
    rng = np.random.default_rng(width)
    bits = np.full(4, width)
    limits = np.stack([thresholds(quantizer.levels(c, width)) for c in range(4)], axis=1)
    near = [limits, np.nextafter(limits, np.float32(np.inf)), np.nextafter(limits, np.float32(-np.inf))]
    far = np.array([[-1e30] * 4, [1e30] * 4, [3e38] * 4, [0.0] * 4, [-0.0] * 4, [1e-40] * 4])
    x = np.concatenate([*near, far, rng.laplace(size=(50, 4)) * 5]).astype(np.float32)
    np.testing.assert_array_equal(quantizer.quantize(x, bits), searched(quantizer, x, bits))


@pytest.mark.parametrize("elements", [False, True], ids=["channel", "feature"])
@pytest.mark.parametrize("positions", [0, 1, 2, 7, 40])
@pytest.mark.parametrize("seed", range(4))
def test_mixed_widths_a_channel_or_a_feature_are_exact(
    quantizer: LloydMax, seed: int, positions: int, elements: bool
) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.laplace(size=(positions, 4)) * 3).astype(np.float32)
    bits = rng.integers(0, 13, x.shape if elements else 4)
    codes = quantizer.quantize(x, bits)
    assert codes.dtype == np.uint16
    np.testing.assert_array_equal(codes, searched(quantizer, x, bits).reshape(x.shape))
    levels = [quantizer.levels(i[-1], int(np.broadcast_to(bits, x.shape)[i]))[codes[i]] for i in np.ndindex(x.shape)]
    np.testing.assert_array_equal(quantizer.dequantize(codes, bits).reshape(-1), np.array(levels, np.float32))


def test_frames_of_many_sizes_use_the_same_quantizer(quantizer: LloydMax) -> None:
    bits = np.array([5, 3, 2, 8])
    for shape in ((1, 1, 4), (8, 8, 4), (61, 67, 4), (128, 65, 4), (4,)):
        x = np.random.default_rng(1).laplace(size=shape).astype(np.float32)
        np.testing.assert_array_equal(quantizer.quantize(x, bits), searched(quantizer, x, bits))


def test_crowded_thresholds_stay_exact() -> None:
    rng = np.random.default_rng(3)
    levels = {b: np.sort(np.concatenate(([-50, 50], rng.normal(size=2**b - 2) * 1e-3)))[None] for b in range(1, 9)}
    quantizer = LloydMax(levels)
    x = np.concatenate((rng.normal(size=3000) * 1e-3, rng.normal(size=300) * 40)).astype(np.float32)[:, None]
    for width in range(1, 13):
        bits = np.full(1, width)
        np.testing.assert_array_equal(quantizer.quantize(x, bits), searched(quantizer, x, bits))


def test_quantizing_a_level_gives_it_back(quantizer: LloydMax) -> None:
    fixed = FixedPoint(np.array([1.0, 2.0, 0.5, 3.0]))
    for one in (quantizer, fixed):
        for width in range(1, 13):
            bits = np.full(4, width)
            levels = np.stack([one.levels(c, width) for c in range(4)], axis=1)
            np.testing.assert_array_equal(one.dequantize(one.quantize(levels, bits), bits), levels)


@pytest.mark.parametrize(
    ("bits", "parts"), [(5, (1, 3, 1)), (3, (1, 1, 1)), (2, (1, 1, 0)), (1, (1, 0, 0)), (8, (1, 6, 1))]
)
def test_the_fixed_point_split_is_the_papers(bits: int, parts: tuple[int, int, int]) -> None:
    assert split(bits) == parts
    assert sum(split(bits)) == bits


def test_fixed_point_codes_are_sign_integer_fraction() -> None:
    quantizer = FixedPoint(np.array([15.0]))
    codes = quantizer.quantize(np.array([[7.2], [-7.2], [99.0], [0.0]]), np.array([5]))[:, 0]
    assert codes.tolist() == [0b0_011_1, 0b1_011_1, 0b0_111_1, 0]  # q = 7 = integer 3, fraction 1
    assert quantizer.dequantize(codes[:, None], np.array([5]))[:, 0].tolist() == [7.0, -7.0, 15.0, 0.0]


@pytest.mark.parametrize(("bits", "expected"), [(5, 23.0), (3, 9.0), (2, 1.0)])
def test_the_fixed_point_sqnr_on_gaussian_data_is_that_of_the_reference(bits: int, expected: float) -> None:
    ratios = []
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((2048, 1))
        distortion = measure_distortion(x, FixedPoint.from_samples(x))[0]
        ratios.append(10 * np.log10(distortion[0] / distortion[bits]))
    assert np.mean(ratios) == pytest.approx(expected, abs=0.7)


def test_as_printed_the_papers_algorithms_are_worse_than_sending_nothing() -> None:
    x = np.random.default_rng(0).standard_normal((2048, 1))
    distortion = measure_distortion(x, FixedPoint.from_samples(x, as_printed=True))[0]
    assert (distortion[2:] > 1.5 * distortion[0]).all()


def test_as_printed_a_worked_value_comes_out_literally() -> None:
    # R = 7, 5 bits = 1·3·1: Δ1 = 7/7 = 1, Δ2 = 7/1 = 7
    # x = -5 -> round(5/1) = 5, round(5/7) = 1; 5·1² + 1·7² = 54, and the sign is lost
    quantizer = FixedPoint(np.array([7.0]), as_printed=True)
    bits = np.array([5])
    code = quantizer.quantize(np.array([[-5.0]]), bits)
    assert code.tolist() == [[0b1_101_1]]
    assert quantizer.dequantize(code, bits).tolist() == [[54.0]]
    # 2 bits = 1·1·0: Δ2 divides by zero; the part without bits contributes nothing
    assert quantizer.dequantize(quantizer.quantize(np.array([[-5.0]]), np.array([2])), np.array([2])).tolist() == [
        [49.0]
    ]


def test_a_channel_that_never_moved_quantizes_to_zero() -> None:
    quantizer = FixedPoint(np.array([0.0, 1.0, 1e-42]))
    for width in range(13):
        bits = np.full(3, width)
        codes = quantizer.quantize(np.array([[3.0, 0.5, 0.0]]), bits)
        assert (codes < 2**width).all()
        assert quantizer.dequantize(codes, bits)[0, 0] == 0


def test_a_range_a_frame_never_clips_and_costs_sixteen_bits_a_channel() -> None:
    x = np.random.default_rng(0).laplace(size=(8, 8, 32)).astype(np.float32)
    largest = frame_range(x)
    assert largest.dtype == np.float16
    assert (largest.astype(np.float32) >= np.abs(x).max(axis=(0, 1))).all()
    np.testing.assert_allclose(largest.astype(np.float32), np.abs(x).max(axis=(0, 1)), rtol=1.1e-3)
    assert frame_range_bits(32) == 512
    with pytest.raises(QuantizeError, match="65504"):
        frame_range(np.full((2, 1), 1e5))


def both() -> list[Quantizer]:
    return [LloydMax({1: np.array([[-1.0, 1.0]] * 3)}), FixedPoint(np.ones(3))]


@pytest.mark.parametrize("quantizer", both(), ids=["lloyd_max", "fixed_point"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_named(quantizer: Quantizer, bad: float) -> None:
    x = np.zeros((2, 2, 3), np.float32)
    x[1, 0, 2] = bad
    with pytest.raises(QuantizeError, match=r"1 of 12 .*\(1, 0, 2\)"):
        quantizer.quantize(x, np.ones(3, int))


@pytest.mark.parametrize("quantizer", both(), ids=["lloyd_max", "fixed_point"])
@pytest.mark.parametrize(
    ("bits", "says"),
    [
        (np.full(3, 13), r"0\.\.12"),
        (np.full(3, -1), r"0\.\.12"),
        (np.ones(3), "whole numbers"),
        (np.ones(2, int), "shape"),
        (np.ones((5, 3), int), "shape"),
    ],
)
def test_widths_that_make_no_sense_are_refused(quantizer: Quantizer, bits: np.ndarray, says: str) -> None:
    with pytest.raises(QuantizeError, match=says):
        quantizer.quantize(np.zeros((4, 3)), bits)
    with pytest.raises(QuantizeError, match=says):
        quantizer.dequantize(np.zeros((4, 3), np.uint16), bits)


@pytest.mark.parametrize("quantizer", both(), ids=["lloyd_max", "fixed_point"])
def test_a_wrong_channel_count_and_foreign_codes_are_refused(quantizer: Quantizer) -> None:
    bits = np.ones(3, int)
    with pytest.raises(QuantizeError, match="3 channels"):
        quantizer.quantize(np.zeros((4, 2)), bits)
    with pytest.raises(QuantizeError, match="do not fit"):
        quantizer.dequantize(np.full((4, 3), 2), bits)
    with pytest.raises(QuantizeError, match="do not fit"):
        quantizer.dequantize(np.full((4, 3), -1), bits)
    with pytest.raises(QuantizeError, match="whole numbers"):
        quantizer.dequantize(np.zeros((4, 3)), bits)


def test_codebooks_that_are_not_ascending_or_complete_are_refused() -> None:
    for bad in ({1: [[1.0, -1.0]]}, {2: [[0.0, 1.0, 2.0, 3.0]]}, {1: [[0.0, 1.0, 2.0]]}, {1: [[0.0, np.nan]]}, {}):
        with pytest.raises(QuantizeError, match="codebooks"):
            LloydMax(bad)


@pytest.mark.parametrize("width", [3, 5, 8, 10, 12])
def test_cell_statistics_predict_the_measured_distortion(samples: np.ndarray, quantizer: LloydMax, width: int) -> None:
    gauss = np.random.default_rng(0).standard_normal((50_000, 4)) * 1.3
    fixed = FixedPoint.from_samples(gauss)
    # A Gaussian's overload beyond the sample's maximum outweighs the fine steps of wide codes: no such samples here.
    pairs = ((quantizer, samples), (fixed, gauss)) if width <= 8 else ((quantizer, samples),)
    for one, x in pairs:
        measured = measure_distortion(x, one)[:, width]
        for c in range(4):
            cells = one.cells(c, width, float(np.mean(x[:, c] ** 2)))
            predicted = cells.probability @ (cells.variance + (cells.centroid - one.levels(c, width)) ** 2)
            assert predicted == pytest.approx(measured[c], rel=0.15)


def test_tables_are_built_once_for_each_bits_vector(quantizer: LloydMax) -> None:
    bits = np.array([4, 3, 2, 1], np.uint8)
    x = np.zeros((8, 8, 4), np.float32)
    quantizer.quantize(x, bits)
    plans = dict(quantizer._plans)
    quantizer.quantize(x, bits)
    assert [id(v) for v in quantizer._plans.values()] == [id(v) for v in plans.values()]
    for i in range(50):
        quantizer.quantize(np.zeros((i + 1, 4), np.float32), bits)
    assert len(quantizer._plans) <= 8

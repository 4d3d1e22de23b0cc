from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semstream.quantize.allocation import air_distortion, allocate, am_gm_db, fixed_ratios, reverse_water_filling
from semstream.quantize.errors import AllocationError
from semstream.quantize.knapsack import greedy, minimise
from semstream.quantize.lloyd_max import fit_codebooks
from semstream.quantize.quantizer import LloydMax, measure_distortion

SCHEMES = ("uniform", "fixed", "cumulative", "proportional", "optimal")


@pytest.mark.parametrize(("total", "bits"), [(10, [5, 3, 2]), (8, [4, 2, 2]), (6, [3, 2, 1])])
def test_the_fixed_allocation_is_the_papers(total: int, bits: list[int]) -> None:
    assert allocate("fixed", sizes=[64] * 3, budget_bits=64 * total).tolist() == bits


@pytest.mark.parametrize(("total", "bits"), [(10, [5, 3, 2]), (8, [4, 3, 1]), (6, [3, 2, 1])])
def test_equal_contributions_accumulate_to_2_3_5_from_the_least_important(total: int, bits: list[int]) -> None:
    found = allocate("cumulative", sizes=[64] * 3, budget_bits=64 * total, contribution=[1.0, 1.0, 1.0])
    assert found.tolist() == bits


def test_cumulative_shares_follow_the_sums_from_the_least_important() -> None:
    # c = .6 .3 .1 -> S from the least: .1 .4 1.0 -> of 15: 1, 4, 10
    assert allocate("cumulative", sizes=[5] * 3, budget_bits=75, contribution=[6, 3, 1]).tolist() == [10, 4, 1]


def test_proportional_shares_follow_the_contributions() -> None:
    assert allocate("proportional", sizes=[7] * 3, budget_bits=70, contribution=[6, 3, 1]).tolist() == [6, 3, 1]


def test_a_large_class_is_not_taken_for_an_important_one() -> None:
    # equal contribution a feature: the class of 30 has 3 times the sum, and the same bits
    bits = allocate("proportional", sizes=[10, 30], budget_bits=160, contribution=[10, 30])
    assert bits.tolist() == [4, 4]


def test_a_fractional_uniform_budget_gives_the_first_classes_one_bit_more() -> None:
    assert allocate("uniform", sizes=[10, 10, 10], budget_bits=85).tolist() == [3, 3, 2]
    assert allocate("uniform", sizes=[1, 100], budget_bits=250).tolist() == [3, 2]


def test_the_fixed_ratios_carry_over_to_other_numbers_of_classes() -> None:
    np.testing.assert_allclose(fixed_ratios(3), [5, 3, 2])
    for m in (1, 2, 5, 32, 64):
        assert (np.diff(fixed_ratios(m)) < 0).all()
        assert (fixed_ratios(m) >= 1.5).all()
        assert (fixed_ratios(m) <= 6).all()


@st.composite
def problem(draw: st.DrawFn) -> dict[str, object]:
    m = draw(st.integers(1, 64))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = rng.integers(0, 50, m) if draw(st.booleans()) else np.full(m, draw(st.integers(1, 50)))
    sizes[rng.integers(m)] += 1
    most = draw(st.integers(1, 12))
    smallest = int(sizes[sizes > 0].min())
    budget = draw(st.integers(smallest, max(smallest, 14 * int(sizes.sum()))))
    contribution = rng.exponential(size=m) * (rng.random(m) > 0.2)
    distortion = np.sort(rng.exponential(size=(m, 13)), axis=1)[:, ::-1]
    return {
        "sizes": sizes,
        "budget_bits": budget,
        "contribution": contribution,
        "distortion": distortion,
        "max_bits": most,
    }


@pytest.mark.parametrize("scheme", SCHEMES)
@given(problem())
@settings(max_examples=80, deadline=None)
def test_bits_are_whole_within_the_budget_and_use_it_up(scheme: str, case: dict[str, object]) -> None:
    sizes, budget, most = np.asarray(case["sizes"]), int(case["budget_bits"]), int(case["max_bits"])  # type: ignore[call-overload]
    bits = allocate(scheme, **case)  # type: ignore[arg-type]
    assert bits.dtype == np.uint8
    assert bits.shape == sizes.shape
    assert bits.max() <= most
    assert (bits[sizes == 0] == 0).all()
    left = budget - int((bits.astype(int) * sizes).sum())
    assert left >= 0
    room = (sizes > 0) & (bits < most)
    if scheme == "uniform":  # never more than one bit apart
        assert np.ptp(bits[sizes > 0]) <= 1
        room &= bits == bits[sizes > 0].min()
        if np.ptp(bits[sizes > 0]) == 0 and left < budget:
            assert left < sizes.sum() or bits.max() == most
    assert not (room & (sizes <= left)).any()


@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_optimal_equals_brute_force_on_small_cases(seed: int, convex: bool, classes: int) -> None:
    rng = np.random.default_rng(seed)
    most = 4
    sizes = rng.integers(1, 6, classes)
    distortion = rng.exponential(size=(classes, most + 1))
    distortion = rng.exponential(size=(classes, 1)) * 4.0 ** -np.arange(most + 1.0) if convex else distortion
    budget = int(rng.integers(sizes.min(), most * sizes.sum() + 2))
    options = itertools.product(range(most + 1), repeat=classes)
    costs = [(distortion[range(classes), b] * sizes).sum() for b in options if (np.array(b) * sizes).sum() <= budget]
    found = allocate("optimal", sizes=sizes, budget_bits=budget, distortion=distortion, max_bits=most)
    assert (distortion[range(classes), found] * sizes).sum() == pytest.approx(min(costs), rel=1e-12)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_greedy_is_optimal_on_convex_curves_of_equal_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.exponential(size=(5, 1)) * 4.0 ** -np.arange(13.0) * 7
    sizes = np.full(5, 7)
    budget = int(rng.integers(7, 7 * 5 * 12))
    exact = minimise(cost / 7, sizes, budget)
    quick = greedy(cost, sizes, budget)
    assert cost[range(5), quick].sum() == pytest.approx(cost[range(5), exact].sum(), rel=1e-9)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_greedy_with_non_convex_curves_stays_within_one_step_of_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost = np.sort(rng.exponential(size=(6, 9)), axis=1)[:, ::-1].copy()
    sizes = rng.integers(1, 9, 6)
    budget = int(rng.integers(20, 8 * sizes.sum()))
    exact = cost[range(6), minimise(cost / sizes[:, None], sizes, budget)].sum()
    quick = greedy(cost, sizes, budget)
    assert (quick * sizes).sum() <= budget
    assert exact <= cost[range(6), quick].sum() + 1e-12 <= exact + 2 * (cost[:, 0] - cost[:, -1]).max()


def test_millions_of_features_are_allocated_by_the_greedy_and_use_the_budget() -> None:
    sizes = np.array([1_000_003, 999_983, 1_000_033])
    variance = np.array([1.0, 0.1, 0.001])
    bits = allocate("optimal", sizes=sizes, budget_bits=9_000_000, weights_variance=variance)
    assert bits.tolist() == [5, 4, 0]  # as brute force says; 53 bits are left


def test_a_first_bit_that_gains_less_than_the_second_is_taken_together_with_it() -> None:
    distortion = np.array([[1.0, 1.2, 0.1, 0.05], [0.5, 0.3, 0.25, 0.2]])
    assert allocate("optimal", sizes=[4, 4], budget_bits=8, distortion=distortion, max_bits=3).tolist() == [2, 0]


def test_optimal_beats_every_other_scheme_on_measured_curves() -> None:
    rng = np.random.default_rng(0)
    samples = rng.laplace(size=(4000, 8)) * np.geomspace(2, 0.05, 8)
    distortion = measure_distortion(samples, LloydMax(fit_codebooks(samples)))
    for mean in (1, 2, 3, 4, 6):
        given_ = {"sizes": [64] * 8, "budget_bits": 64 * 8 * mean, "contribution": distortion[:, 0]}
        total: dict[str, float] = {}
        for s in SCHEMES:
            bits = allocate(s, distortion=distortion, **given_)  # type: ignore[arg-type]
            total[s] = float(distortion[range(8), bits].sum())
        assert total["optimal"] == min(total.values())
        assert total["optimal"] < 0.7 * total["uniform"]


def test_reverse_water_filling_follows_the_formula_where_all_are_active() -> None:
    v = np.array([4.0, 1.0, 0.25])
    np.testing.assert_allclose(reverse_water_filling(v, 3.0), [4, 3, 2])


@given(st.integers(1, 64), st.integers(0, 2**32 - 1), st.floats(0, 10))
@settings(max_examples=100, deadline=None)
def test_reverse_water_filling_meets_its_mean_and_leaves_equal_distortion(m: int, seed: int, mean: float) -> None:
    rng = np.random.default_rng(seed)
    v = np.exp(rng.normal(size=m) * 3)
    sizes = rng.integers(1, 20, m)
    bits = reverse_water_filling(v, mean, sizes)
    assert (bits >= 0).all()
    assert (bits * sizes).sum() / sizes.sum() == pytest.approx(mean, abs=1e-9)
    left = v * 4.0**-bits
    active = bits > 0
    if active.any():  # the water level: equal among the active, and above what is left of the others
        np.testing.assert_allclose(left[active], left[active].max(), rtol=1e-6)
        assert (left[~active] <= left[active].max() * (1 + 1e-6)).all()


def test_reverse_water_filling_gives_nothing_to_what_is_zero() -> None:
    assert reverse_water_filling(np.array([0.0, 1.0]), 2.0).tolist() == [0.0, 4.0]
    assert reverse_water_filling(np.zeros(3), 2.0).tolist() == [0.0, 0.0, 0.0]


def test_the_am_gm_bound_is_golden() -> None:
    assert am_gm_db(np.ones(5)) == pytest.approx(0)
    assert am_gm_db(np.array([1.0, 100.0])) == pytest.approx(10 * np.log10(50.5 / 10))
    assert am_gm_db(np.array([1.0, 100.0]), [3, 1]) == pytest.approx(10 * np.log10(25.75 / 100**0.25))
    assert am_gm_db(np.array([1.0, 0.0])) == np.inf


def test_the_am_gm_bound_is_what_water_filling_wins_at_high_rate() -> None:
    v = np.geomspace(10, 0.1, 8)
    uniform = v.mean() * 4.0**-6
    filled = (v * 4.0 ** -reverse_water_filling(v, 6.0)).mean()
    assert 10 * np.log10(uniform / filled) == pytest.approx(am_gm_db(v))


def test_air_distortion_is_the_wiener_error_and_the_variance_where_nothing_is_sent() -> None:
    d = air_distortion([2.0], [[2.0, 0.5, 0.0]], [3.0], 0.5, centroids=False)
    np.testing.assert_allclose(d, [[6.0, 3 * 2 * 1.0 / 3.0, 3 * 2 * 0.5 / 2.5]])
    assert air_distortion([0.0], [[0.0, 0.0]], [1.0], 0.0).tolist() == [[0.0, 0.0]]


def test_air_distortion_of_centroids_is_what_a_linear_dequantizer_and_a_wiener_gain_leave() -> None:
    random = np.random.default_rng(0)
    feature = random.standard_normal(200_000)
    levels = np.where(feature > 0, 1, -1) * np.sqrt(2 / np.pi)  # Lloyd-Max at 1 bit
    distortion = float(np.mean((feature - levels) ** 2))
    received = levels + np.sqrt(0.3) * random.standard_normal(feature.size)
    gain = np.mean(received * feature) / np.mean(received**2)
    left = float(np.mean((feature - gain * received) ** 2))
    predicted = air_distortion([1.0], [[1.0, distortion]], [1.0], 0.3)
    assert predicted[0, 1] == pytest.approx(left, rel=0.01)
    error_free = air_distortion([1.0], [[1.0, distortion]], [1.0], 0.0)
    assert error_free[0, 1] == pytest.approx(distortion)


def test_on_a_noisy_channel_bits_beyond_the_noise_are_spread() -> None:
    variance = np.array([1.0, 0.3])
    curve = variance[:, None] * 4.0 ** -np.arange(13)
    clean = allocate("optimal", sizes=[1, 1], budget_bits=6, distortion=curve)
    noisy = allocate("optimal", sizes=[1, 1], budget_bits=6, distortion=air_distortion(variance, curve, [1, 1], 0.1))
    assert clean.tolist() == [3, 3] or clean.tolist() == [4, 2]
    assert noisy.sum() == 6
    assert noisy.min() >= 1


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("budget", [-1, 0, 9])
def test_a_budget_that_carries_no_class_is_refused(scheme: str, budget: int) -> None:
    with pytest.raises(AllocationError, match="takes 10"):
        allocate(scheme, sizes=[10, 20], budget_bits=budget, contribution=[1, 1], weights_variance=[1, 1])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scheme": "best"}, "expected one of uniform"),
        ({"sizes": []}, "sizes"),
        ({"sizes": [0, 0]}, "sizes"),
        ({"sizes": [-1, 5]}, "sizes"),
        ({"sizes": [1.5, 2]}, "sizes"),
        ({"budget_bits": 10.5}, "whole number"),
        ({"max_bits": 13}, "max_bits"),
        ({"max_bits": 0}, "max_bits"),
        ({"scheme": "cumulative", "contribution": None}, "needs it"),
        ({"scheme": "proportional", "contribution": [1, np.nan]}, "contribution"),
        ({"scheme": "proportional", "contribution": [1, -1]}, "contribution"),
        ({"scheme": "proportional", "contribution": [1]}, "contribution"),
        ({"scheme": "optimal", "weights_variance": None}, "needs it"),
        ({"scheme": "optimal", "distortion": np.ones((2, 5))}, "distortion"),
        ({"scheme": "optimal", "distortion": np.full((2, 13), np.inf)}, "distortion"),
    ],
)
def test_inputs_that_a_scheme_cannot_use_are_named(change: dict[str, object], says: str) -> None:
    base: dict[str, object] = {
        "scheme": "uniform",
        "sizes": [5, 5],
        "budget_bits": 30,
        "contribution": [1, 1],
        "weights_variance": [1, 1],
    }
    given_ = base | change
    with pytest.raises(AllocationError, match=says):
        allocate(given_.pop("scheme"), **given_)  # type: ignore[arg-type]

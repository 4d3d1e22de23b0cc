"""Folds: what is sent again, what the receiver makes of it, and how the SNR travels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from codec_fixtures import TINY, to_tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from semstream.codec.codec import SemanticCodec
from semstream.codec.config import CodecConfig, ConfigError
from semstream.codec.folded import folded, linear_importance
from semstream.codec.folding import (
    Estimate,
    assumed_importance,
    between_knots,
    grid_snr_db,
    told_snr_db,
    triangle,
    unfold,
    with_snr,
)
from semstream.quantize.dequantize import NOISE_CAP

FOLDS = (0, 1, 0)


@pytest.fixture(scope="module")
def folding(codec: SemanticCodec) -> SemanticCodec:
    return folded(codec, FOLDS).eval().requires_grad_(False)


def test_the_triangle_is_the_identity_near_zero_and_has_period_four() -> None:
    x = torch.linspace(-1, 1, 21)
    assert torch.allclose(triangle(x), x, atol=1e-6)
    far = torch.linspace(-9, 9, 181)
    assert torch.allclose(triangle(far), triangle(far + 4), atol=1e-5)
    assert triangle(far).abs().max() <= 1


@settings(deadline=None, max_examples=60)
@given(
    c=st.floats(-6, 6), v=st.floats(0.02, 2), y=st.floats(-3, 3), noise=st.floats(0.02, 1),
    amplitude=st.floats(0.3, 3), interval=st.floats(0.4, 2),
)  # fmt: skip
def test_unfolding_is_the_mean_and_variance_of_the_posterior(
    c: float, v: float, y: float, noise: float, amplitude: float, interval: float
) -> None:
    limit = amplitude + 2 * noise**0.5  # beyond it nothing is believed
    y = float(np.clip(y, -limit, limit))
    grid = np.linspace(c - 8 * v**0.5, c + 8 * v**0.5, 40_001)
    fold = amplitude * triangle(torch.from_numpy(grid / interval)).numpy()
    logarithm = -((grid - c) ** 2) / (2 * v) - (y - fold) ** 2 / (2 * noise)
    weight = np.exp(logarithm - logarithm.max())
    weight /= weight.sum()
    mean = float((weight * grid).sum())
    variance = float((weight * (grid - mean) ** 2).sum())
    if 8 * v**0.5 > 5 * interval:  # more slopes than are looked at
        return
    tensors = (torch.tensor(value) for value in (y, noise, amplitude, interval))
    found = unfold(Estimate(torch.tensor(c), torch.tensor(v)), *tensors)
    assert float(found.mean) == pytest.approx(mean, abs=5e-3 + 5e-3 * v**0.5)
    assert float(found.variance) == pytest.approx(max(variance, 1e-3 * v), rel=0.03, abs=2e-4)


LOOKS = {  # power over noise in dB: share of the power and width of each fold, dB won by one fold and by both
    10: (((0.2, 1.8),), ((0.2, 2.4), (0.1, 1.2)), 0.7, 1.3),
    16: (((0.3, 2.4),), ((0.2, 3.2), (0.1, 1.8)), 2.4, 4.2),
    22: (((0.2, 3.2),), ((0.2, 3.2), (0.1, 1.8)), 4.2, 6.8),
}


@pytest.mark.parametrize("power_db", LOOKS)
def test_more_looks_at_the_power_of_one_win_what_the_module_says(power_db: int) -> None:
    torch.manual_seed(0)
    total = 10 ** (power_db / 10)  # of all uses, in units of the noise
    value, noise = torch.distributions.Laplace(0.0, 2**-0.5).sample((20_000,)), torch.randn(3, 20_000)

    def left(folds: tuple[tuple[float, float], ...]) -> float:
        power = total * (1 - sum(share for share, _ in folds))
        s = value * power**0.5
        found = Estimate((s + noise[0]) * power / (power + 1), torch.full_like(s, power / (power + 1)))
        for i, (share, interval) in enumerate(folds):
            amplitude, width = torch.tensor((3 * share * total) ** 0.5), torch.tensor(interval)
            received = amplitude * triangle(s / width) + noise[1 + i]
            found = unfold(found, received, torch.ones(()), amplitude, width)
        return float((found.mean - s).square().mean() / power)

    one, both, won, won_by_both = LOOKS[power_db]
    assert 10 * np.log10(left(()) / left(one)) == pytest.approx(won, abs=0.2)
    assert 10 * np.log10(left(()) / left(both)) == pytest.approx(won_by_both, abs=0.3)


def test_a_fold_that_was_not_received_changes_nothing() -> None:
    first = Estimate(torch.linspace(-4, 4, 50), torch.full((50,), 0.3))
    found = unfold(first, torch.zeros(50), torch.tensor(NOISE_CAP), torch.tensor(2.0), torch.tensor(1.0))
    assert torch.allclose(found.mean, first.mean, atol=2e-3)
    assert torch.allclose(found.variance, first.variance, rtol=0.02)


@given(scale=st.floats(1e-3, 50), snr_db=st.floats(-30, 60))
def test_a_scale_tells_the_snr_and_keeps_its_own_value_to_a_percent(scale: float, snr_db: float) -> None:
    told = with_snr(torch.tensor([scale]), torch.tensor([snr_db]))
    assert torch.equal(told, told.half().float())
    assert float(told) == pytest.approx(scale, rel=0.01)
    assert float(told_snr_db(told)) == float(grid_snr_db(torch.tensor(snr_db)))
    assert abs(float(told_snr_db(told)) - min(max(snr_db, 0), 22.5)) <= 0.75


def test_an_infinite_snr_is_the_highest_that_can_be_told() -> None:
    told = with_snr(torch.ones(2), torch.tensor([float("inf"), float("-inf")]))
    assert told_snr_db(told).tolist() == [22.5, 0.0]


def test_between_knots_two_neighbours_share() -> None:
    weights = between_knots(torch.tensor([-5.0, 0.0, 2.0, 10.0, 20.0, 22.5]))
    assert torch.allclose(weights.sum(dim=1), torch.ones(6))
    assert weights[2].tolist() == [0.5, 0.5, 0, 0, 0, 0]
    assert torch.equal(weights[-1], weights[-2])


def test_a_folded_feature_comes_back_closer_than_one_sent_once(folding: SemanticCodec, pictures: np.ndarray) -> None:
    assert folding.gains is not None
    for snr_db, gain_db in ((4.0, 0.3), (10.0, 2.0), (16.0, 4.0)):
        told = torch.full((len(pictures),), snr_db)
        features, _ = folding.encode(to_tensor(pictures), told)
        tables = folding.gains(between_knots(grid_snr_db(told)))
        variance = torch.full_like(features, 10 ** (-snr_db / 10))
        noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
        received = features + variance.sqrt() * noise
        lost = variance.clone()
        lost[..., TINY.channels - len(FOLDS) :] = NOISE_CAP
        exact = features / tables[0]
        power = exact.square().mean(dim=(0, 1, 2))
        with_folds, without = (
            float((folding.gains.estimate(received, v, power, *tables).mean - exact)[..., 0].square().mean())
            for v in (variance, lost)
        )
        assert 10 * np.log10(without / with_folds) > gain_db, snr_db


def test_features_have_about_unit_power_and_the_scale_tells_the_snr(
    folding: SemanticCodec, pictures: np.ndarray
) -> None:
    snr_db = torch.linspace(0, 20, len(pictures))
    features, scale = folding.encode(to_tensor(pictures), snr_db)
    power = features.square().mean(dim=(1, 2, 3))
    assert (power - 1).abs().max() < 0.3
    assert torch.equal(told_snr_db(scale), grid_snr_db(snr_db))


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (2, 100)])
def test_a_picture_of_any_size_or_none_at_all_survives_folding(folding: SemanticCodec, size: tuple[int, int]) -> None:
    for picture in (torch.rand(1, 3, *size), torch.zeros(1, 3, *size)):
        features, scale = folding.encode(picture)
        for noise in (torch.zeros(()), torch.tensor(NOISE_CAP), torch.full_like(features, 0.1)):
            restored = folding.decode(features, noise, scale, size)
            assert restored.shape == (1, 3, *size)
            assert torch.isfinite(restored).all()


def test_a_codec_that_is_told_the_snr_tells_its_network_too(folding: SemanticCodec, pictures: np.ndarray) -> None:
    batch = to_tensor(pictures[:2])
    trained = folded(folding, FOLDS)
    assert trained.analysis.told is not None
    with torch.no_grad():
        torch.nn.init.normal_(trained.analysis.told[0].weight)
        torch.nn.init.normal_(trained.analysis.head.weight)
    low, high = (
        trained.analysis(batch.permute(0, 2, 3, 1), between_knots(torch.full((2,), s)))[0] for s in (0.0, 16.0)
    )
    assert (low - high).abs().max() > 1e-3


def test_a_codec_folded_again_with_the_same_folds_is_the_same_codec(
    folding: SemanticCodec, pictures: np.ndarray
) -> None:
    order = linear_importance(folding)[: TINY.channels - len(FOLDS)].argsort(descending=True).tolist()
    again = folded(folding, tuple(order.index(base) for base in FOLDS))
    batch, told = to_tensor(pictures[:4]), torch.full((4,), 8.0)
    restored = [
        one.decode(encoded.features, torch.full((), 0.1), encoded.scale, (32, 32))
        for one in (folding, again)
        for encoded in (one.encode(batch, told),)
    ]
    assert torch.allclose(*restored, atol=1e-4)


def test_more_folds_keep_what_the_others_have_learned(folding: SemanticCodec) -> None:
    taught = folded(folding, FOLDS)
    assert taught.gains is not None
    with torch.no_grad():
        taught.gains.interval_table[:, 0] = 0.7
    more = folded(taught, (*FOLDS, 2))
    assert more.gains is not None
    assert more.config.folds == (*FOLDS, 2)
    assert more.gains.interval_table[:, 0].tolist() == pytest.approx([0.7] * 6)
    with pytest.raises(ConfigError, match="expected as many folds or more, got 1"):
        folded(taught, (0,))


def test_folds_need_a_linear_path_and_the_snr() -> None:
    with pytest.raises(ConfigError, match="no linear path"):
        folded(SemanticCodec(CodecConfig(channels=8, widths=(16,), depths=(1,), heads=(2,), linear_path=False)), (0,))
    with pytest.raises(ConfigError, match="folds need told_snr"):
        CodecConfig(folds=(0,))
    for wrong in ((31,), (-1,), (0.5,), [0]):
        with pytest.raises(ConfigError, match="folds must be a list of channels before the last"):
            CodecConfig(told_snr=True, folds=wrong)  # type: ignore[arg-type]
    config = CodecConfig(told_snr=True, folds=(0, 0, 3))
    assert CodecConfig.from_json(config.to_json()) == config


def test_folds_of_the_strongest_channel_stand_before_the_others_in_importance() -> None:
    order = np.argsort(-assumed_importance(32, (0, 1, 0))).tolist()
    assert order.index(31) < order.index(30)
    assert order.index(29) == 13
    assert sorted(order) == list(range(32))

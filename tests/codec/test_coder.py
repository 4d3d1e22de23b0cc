"""Features to bits and back: exact accounting, budgets kept, side information checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from codec_fixtures import TINY, to_tensor

from semstream.codec.codec import SemanticCodec
from semstream.codec.coder import FeatureCoder
from semstream.codec.profile import NOISE_KNOTS_DB, Profile
from semstream.codec.side_information import SCALE_BITS, SideInformation, SideInformationError
from semstream.quantize.dequantize import NOISE_CAP, dequantize
from semstream.quantize.errors import AllocationError, QuantizeError
from semstream.quantize.packing import PackingError


@pytest.fixture(scope="module")
def coder(profile: Profile) -> FeatureCoder:
    return FeatureCoder(profile)


@pytest.fixture(scope="module")
def features(codec: SemanticCodec, pictures: np.ndarray) -> np.ndarray:
    return codec.encode(to_tensor(pictures[:1])).features[0].numpy()


@pytest.mark.parametrize("quantizer", ["lloyd_max", "fixed_point"])
@pytest.mark.parametrize("scheme", ["uniform", "fixed", "cumulative", "proportional", "optimal"])
@pytest.mark.parametrize("bits", [1, 2.5, 4, 8])
def test_the_receiver_gets_the_levels_that_the_transmitter_chose(
    coder: FeatureCoder, features: np.ndarray, scheme: str, quantizer: str, bits: float
) -> None:
    coded = coder.quantize(features, size=(32, 32), scale=0.5, scheme=scheme, mean_bits=bits, quantizer=quantizer)
    side = SideInformation.from_tags(coded.side.to_tags(), coder.profile.channels)
    values = coder.amplitudes(coded.payload, side)
    assert side.payload_bits <= bits * features.size
    assert values.size == coder.sent_count(side)
    widths = np.array(side.bits, np.uint8)
    exact = coder.profile.quantizers[quantizer]
    levels = exact.dequantize(exact.quantize(features, widths), widths)
    assert np.array_equal(values, levels[..., widths > 0].reshape(-1))
    got, variance = coder.observe(values, np.zeros(values.size, np.float32), side, mode="linear")
    expected = dequantize(levels, np.zeros(()), exact, widths, coder.profile.variance, mode="linear")
    assert np.array_equal(got, expected[0])
    assert (variance[..., widths == 0] == NOISE_CAP).all()
    assert (variance[..., widths > 0] < NOISE_CAP).all()


def test_payload_bits_are_those_of_the_codes_that_are_sent(coder: FeatureCoder, features: np.ndarray) -> None:
    side = coder.quantize(features, size=(32, 32), scale=1.0, mean_bits=3).side
    assert side.payload_bits == sum(side.bits) * features.shape[0] * features.shape[1]
    assert side.side_bits == SCALE_BITS


def test_unquantized_features_arrive_bit_for_bit(coder: FeatureCoder, features: np.ndarray) -> None:
    coded = coder.quantize(features, size=(32, 32), scale=1.0, scheme="none")
    values = coder.amplitudes(coded.payload, coded.side)
    got, _ = coder.observe(values, np.full(values.size, 0.1, np.float32), coded.side)
    assert np.array_equal(got, features)
    assert coded.side.payload_bits == 32 * features.size


@pytest.mark.parametrize("scheme", ["optimal", "uniform", "fixed"])
def test_a_class_map_is_paid_for_out_of_the_budget(coder: FeatureCoder, features: np.ndarray, scheme: str) -> None:
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, features.shape).astype(np.uint8)
    coded = coder.quantize(features, size=(32, 32), scale=1.0, scheme=scheme, mean_bits=5, class_map=classes)
    assert coded.class_map is not None
    assert coded.side.side_bits == SCALE_BITS + 8 * coded.class_map.size
    assert coded.side.payload_bits + coded.side.side_bits - SCALE_BITS <= 5 * features.size
    side = SideInformation.from_tags(coded.side.to_tags(), coder.profile.channels)
    widths = np.array(side.bits, np.uint8)[classes]
    values = coder.amplitudes(coded.payload, side, coded.class_map)
    exact = coder.profile.quantizers["lloyd_max"]
    levels = exact.dequantize(exact.quantize(features, widths), widths)
    assert np.array_equal(values, levels[widths > 0])
    got, variance = coder.observe(values, np.zeros(values.size, np.float32), side, coded.class_map)
    assert (variance[widths == 0] == NOISE_CAP).all()
    assert np.square(got - features)[widths > 0].mean() < 0.1


def test_optimal_allocation_beats_uniform_in_weighted_error(coder: FeatureCoder, features: np.ndarray) -> None:
    def error(scheme: str, bits: float) -> float:
        coded = coder.quantize(features, size=(32, 32), scale=1.0, scheme=scheme, mean_bits=bits)
        values = coder.amplitudes(coded.payload, coded.side)
        got, variance = coder.observe(values, np.zeros(values.size, np.float32), coded.side)
        got = got * (coder.profile.variance / (coder.profile.variance + variance))
        return float((coder.profile.contribution["sensitivity"] * np.square(got - features)).sum())

    for bits in (2, 3, 4):
        assert error("optimal", bits) < 0.8 * error("uniform", bits)


def folding(profile: Profile) -> Profile:
    """As if the last two channels were folds of the first: little is lost with either look alone."""
    weight = profile.contribution["sensitivity"].copy()
    alone = weight.copy()
    alone[-2:] = 0
    weight[-2:] = weight[0] / 4
    weight[0] /= 4
    under = np.repeat(weight[None], len(NOISE_KNOTS_DB), axis=0)
    return replace(
        profile, contribution={**profile.contribution, "sensitivity": weight}, unfolded=alone, under_noise=under
    )


def test_without_noise_no_fold_is_sent_and_with_noise_they_are(profile: Profile) -> None:
    folds = folding(profile)
    clean = folds.allocate("optimal", 3, feature_count=512)
    noisy = folds.allocate("optimal", 3, feature_count=512, noise_variance=0.1)
    assert not clean[-2:].any()
    assert noisy[-2:].all()
    assert clean.astype(int).sum() <= 3 * TINY.channels
    assert clean[0] > noisy[0]
    assert Profile.from_arrays(folds.to_arrays(), TINY.channels).unfolded is not None
    assert folds.classes(0)[0] == 0
    assert (folds.classes(0)[-2:] > 0).all()
    assert folds.am_gm_db == pytest.approx(replace(profile, unfolded=folds.unfolded).am_gm_db)


def test_folds_that_help_only_against_little_noise_get_no_bits_against_more(profile: Profile) -> None:
    folds = folding(profile)
    assert folds.unfolded is not None
    assert folds.under_noise is not None
    helpless = folds.under_noise.copy()
    helpless[:2, 0] = 0.99 * folds.unfolded[0]  # 3 and 9 dB
    others = replace(folds, under_noise=helpless)
    given = [
        [one.allocate("optimal", bits, feature_count=512, noise_variance=0.05)[-2:].sum() for one in (folds, others)]
        for bits in (4, 6)
    ]
    assert given[0][0] > 2 * given[0][1]
    assert given[1][0] == given[1][1] > given[0][0]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_what_is_folded_is_never_left_out_before_its_folds(profile: Profile, channels: int) -> None:
    folds = folding(profile)
    for noise in (0.0, 0.03, 0.3):
        bits = folds.allocate("optimal", 4, feature_count=512, noise_variance=noise, most_features=64 * channels)
        assert bits[0] > 0
        assert (bits > 0).sum() <= channels


def test_an_allocation_for_the_air_leaves_less_error_on_the_air(coder: FeatureCoder, features: np.ndarray) -> None:
    profile = coder.profile
    noise = np.random.default_rng(0).standard_normal((16, features.size)).astype(np.float32)

    def error(noise_variance: float, design: float) -> float:
        coded = coder.quantize(features, size=(32, 32), scale=1.0, mean_bits=3, noise_variance=design)
        values = coder.amplitudes(coded.payload, coded.side)
        power = noise_variance * float(np.mean(values**2))
        total = 0.0
        for row in noise:
            sent = values + np.sqrt(power) * row[: values.size]
            got, variance = coder.observe(sent, np.full_like(values, power), coded.side)
            got = got * (profile.variance / (profile.variance + variance))
            total += float((profile.contribution["sensitivity"] * np.square(got - features)).sum())
        return total

    for variance in (0.05, 0.5):
        assert error(variance, variance) <= error(variance, 0.0)
    assert error(0.5, 0.5) < error(0.5, 0.0)


def test_features_that_are_not_finite_are_refused(coder: FeatureCoder, features: np.ndarray) -> None:
    bad = features.copy()
    bad[0, 0, 0] = np.nan
    for scheme in ("none", "uniform", "optimal"):
        with pytest.raises(QuantizeError, match="NaN"):
            coder.quantize(bad, size=(32, 32), scale=1.0, scheme=scheme)
    with pytest.raises(QuantizeError, match="expected"):
        coder.quantize(features[..., :3], size=(32, 32), scale=1.0)


def test_a_budget_that_nothing_meets_is_refused(coder: FeatureCoder, features: np.ndarray) -> None:
    with pytest.raises(AllocationError):
        coder.quantize(features, size=(32, 32), scale=1.0, mean_bits=0.01)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": None}, {"shape": [8, 8, 3]}, {"shape": [2**20, 2**20, 8]}, {"size": [0, 4]}, {"scale": float("nan")},
        {"scale": -1.0}, {"scheme": "best"}, {"quantizer": 3}, {"bits": b"\x0d" * 8}, {"bits": b"\x01"},
        {"bits": "text"}, {"class_map": 1}, {"payload_bits": -1}, {"side_bits": True},
    ],
)  # fmt: skip
def test_side_information_that_cannot_be_true_names_its_field(
    coder: FeatureCoder, features: np.ndarray, change: dict[str, Any]
) -> None:
    tags = coder.quantize(features, size=(32, 32), scale=1.0).side.to_tags() | change
    with pytest.raises(SideInformationError, match=next(iter(change))):
        SideInformation.from_tags(tags, coder.profile.channels)


def test_a_payload_of_another_frame_is_refused(coder: FeatureCoder, features: np.ndarray) -> None:
    one = coder.quantize(features, size=(32, 32), scale=1.0, mean_bits=3)
    other = coder.quantize(features[:4], size=(16, 32), scale=1.0, mean_bits=5)
    with pytest.raises(PackingError):
        coder.amplitudes(other.payload, one.side)
    with pytest.raises(PackingError):
        coder.amplitudes(one.payload[:-1], one.side)
    raw = coder.quantize(features, size=(32, 32), scale=1.0, scheme="none")
    with pytest.raises(PackingError):
        coder.amplitudes(raw.payload[:-4], raw.side)

"""The shipped weights on the photographs of the default source: what the README promises, with room to spare."""

from __future__ import annotations

import numpy as np
import pytest

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    ImageSource,
    NonUniformQuantizer,
    PowerNormalizer,
    SnrSweep,
    SwinDecoder,
    SwinEncoder,
    UniformQuantizer,
    Unquantized,
)
from semstream.metrics.quality import psnr
from semstream.runtime import Block, Frame
from semstream.testing import run_block, run_source


@pytest.fixture(scope="module")
def photographs() -> list[Frame]:
    return run_source(ImageSource(size=64, frames=10, every=12))


def quality(photographs: list[Frame], quantizer: list[Block], snr_db: float, channel: str = "awgn") -> float:
    air = FadingChannel(channel=channel, noise_key="air")
    frames = photographs
    for block in (
        SnrSweep(snr_db=[snr_db]),
        SwinEncoder(),
        *quantizer,
        PowerNormalizer(),
        air,
        Dequantizer(),
        SwinDecoder(),
    ):
        frames = run_block(block, frames)
    return float(np.mean([psnr(a["image"], b["image"]) for a, b in zip(photographs, frames, strict=True)]))


def non_uniform(bits: float) -> list[Block]:
    return [ContributionClassifier(), NonUniformQuantizer(bits=bits)]


def test_quality_over_awgn_is_that_of_trained_weights(photographs: list[Frame]) -> None:
    measured = [quality(photographs, [Unquantized()], snr) for snr in (1, 7, 13)]
    assert measured[0] > 21
    assert measured[1] > 26
    assert measured[2] > 31


@pytest.mark.parametrize("snr_db", [1, 7, 13])
def test_8_bits_a_feature_cost_nothing(photographs: list[Frame], snr_db: float) -> None:
    assert quality(photographs, non_uniform(8), snr_db) > quality(photographs, [Unquantized()], snr_db) - 0.1


@pytest.mark.parametrize(("bits", "snr_db", "gain"), [(2, 13, 2.0), (2, float("inf"), 4.0), (3, 13, 1.0), (3, 1, 0.2)])
def test_bits_by_contribution_buy_quality(photographs: list[Frame], bits: float, snr_db: float, gain: float) -> None:
    uniform = quality(photographs, [UniformQuantizer(bits=bits)], snr_db)
    assert quality(photographs, non_uniform(bits), snr_db) > uniform + gain


def test_fading_costs_quality_and_the_link_holds(photographs: list[Frame]) -> None:
    awgn, rayleigh = (quality(photographs, non_uniform(6), 13, channel) for channel in ("awgn", "rayleigh"))
    assert awgn - 6 < rayleigh < awgn

"""A codec with a profile, small enough to make in a second: the linear path carries it, untrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from semstream.codec import checkpoint
from semstream.codec.codec import SemanticCodec
from semstream.codec.config import CodecConfig
from semstream.codec.linear import fit_linear_code
from semstream.codec.profile import Profile
from semstream.quantize.fixed_point import FixedPoint
from semstream.quantize.lloyd_max import fit_codebooks
from semstream.quantize.quantizer import LloydMax, measure_distortion

TINY = CodecConfig(channels=8, widths=(16, 16), depths=(1, 1), heads=(2, 2), window=2, gated=True)


def smooth_pictures(count: int, side: int = 32, seed: int = 0) -> np.ndarray:
    """(count, side, side, 3) uint8 of low-pass noise, which has a picture's falling spectrum."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    shape = 1 / (1 + (frequency * side) ** 2.5)
    noise = np.fft.fft2(random.standard_normal((count, 3, side, side)))
    pictures = np.fft.ifft2(noise * shape).real
    pictures /= pictures.std(axis=(1, 2, 3), keepdims=True) + 1e-9
    return (128 + 50 * pictures).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    return smooth_pictures(24)


@pytest.fixture(scope="session")
def codec() -> SemanticCodec:
    torch.manual_seed(0)
    patches = smooth_pictures(200, seed=1).astype(np.float32) / 255
    patches = patches.reshape(200, 8, 4, 8, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 48)
    return SemanticCodec(TINY, fit_linear_code(patches, TINY.channels)).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def profile(codec: SemanticCodec) -> Profile:
    with torch.no_grad():
        features = codec.encode(to_tensor(smooth_pictures(100, seed=2))).features.reshape(-1, TINY.channels).numpy()
    books = fit_codebooks(features)
    gain = codec.linear_synthesis.weight.square().sum(0).numpy()
    contribution = (gain / gain.sum()).astype(np.float32)
    maximum = np.abs(features).max(0)
    distortion = {
        "lloyd_max": measure_distortion(features, LloydMax(books)).astype(np.float32),
        "fixed_point": measure_distortion(features, FixedPoint(maximum)).astype(np.float32),
    }
    methods = ("gradient", "sensitivity", "magnitude", "std")
    return Profile(dict.fromkeys(methods, contribution), np.square(features).mean(0), maximum, books, distortion)


@pytest.fixture(scope="session")
def weights(codec: SemanticCodec, profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoint.save(path, codec, profile, {"steps": 0})
    return path

import subprocess
import sys

import numpy as np
import pytest

from semstream.phy import (
    NOISE_CAP,
    apply,
    generator,
    mmse,
    normalize,
    pam_demodulate,
    pam_modulate,
    pam_noise_variance,
)


def test_golden_values_of_the_mmse_equalizer():
    got = mmse(np.array([2 + 2j]), np.array([1j]), np.array([0.25]))
    assert got.mmse[0] == pytest.approx((2 - 2j) / 1.25)
    assert got.unbiased[0] == pytest.approx(2 - 2j)
    assert got.noise_variance[0] == pytest.approx(0.25)


def test_mmse_minimises_the_mean_squared_error():
    sent = pam_modulate(normalize(generator(0, "s", 0).standard_normal(100_000).astype(np.float32))[0])
    got = apply(sent, "rayleigh", 3.0, generator(0, "c", 0), coherence="frame")
    equal = mmse(*got)
    error = np.mean(np.abs(equal.mmse - sent) ** 2)
    for factor in (0.9, 0.97, 1.03, 1.1):
        assert error < np.mean(np.abs(factor * equal.mmse - sent) ** 2)
    assert error < np.mean(np.abs(equal.unbiased - sent) ** 2)


@pytest.mark.parametrize("kind", ["awgn", "rayleigh", "rician", "composite"])
def test_features_see_the_noise_variance_that_is_reported(kind):
    features = (0.7 * generator(0, "features", 0).standard_normal(100_001)).astype(np.float32)
    scaled, gain = normalize(features)
    equal = mmse(*apply(pam_modulate(scaled), kind, 7.0, generator(0, "c", 0)))
    estimate = pam_demodulate(equal.unbiased, features.size) / gain
    variance = pam_noise_variance(equal.noise_variance, features.size, gain)
    alive = variance < NOISE_CAP
    assert np.mean((estimate - features)[alive] ** 2 / variance[alive]) == pytest.approx(1.0, abs=0.025)


def test_a_dead_gain_gives_nothing_known_instead_of_infinity():
    received = np.array([1 + 1j, 1 + 1j, 0, 1e-20], np.complex64)
    csi = np.array([0, 1e-4, 0, 1e-25], np.complex64)
    got = mmse(received, csi, np.array([0.1, 1e-3, 0.0, 0.1], np.float32))
    assert got.noise_variance.tolist() == [NOISE_CAP] * 4
    assert not got.unbiased.any()
    assert not got.mmse.any()


def test_without_noise_the_symbols_come_back():
    sent = pam_modulate(generator(0, "s", 0).standard_normal(1000).astype(np.float32))
    equal = mmse(*apply(sent, "rician", np.inf, generator(0, "c", 0)))
    np.testing.assert_allclose(equal.unbiased, sent, rtol=1e-5)
    np.testing.assert_array_equal(equal.unbiased, equal.mmse)
    assert not equal.noise_variance.any()


def test_arrays_of_different_frames_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\), \(2,\)"):
        mmse(np.ones(3), np.ones(2), np.ones(3))


def test_the_room_needs_numpy_only():
    code = (
        "import sys, numpy; before = set(sys.modules); import semstream.phy;"
        "new = {m.split('.')[0] for m in set(sys.modules) - before};"
        "print(sorted(new & {'torch', 'scipy', 'zmq', 'blocks', 'timm', 'PIL', 'pydantic'}),"
        "[m for m in sys.modules if m.startswith('semstream.runtime')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[] []"

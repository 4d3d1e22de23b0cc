import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semstream.phy import generator, mean_symbol_power, normalize, pam_demodulate, pam_modulate, pam_noise_variance


@pytest.mark.parametrize("count", [1, 2, 7, 4096])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 300.0])
def test_symbols_have_unit_mean_power_whatever_the_scale_and_count(count, spread):
    values = (spread * generator(0, "power", count).standard_normal(count)).astype(np.float32)
    scaled, gain = normalize(values)
    assert mean_symbol_power(pam_modulate(scaled)) == pytest.approx(1.0, abs=1.1e-3)
    assert gain == float(np.float16(gain))
    np.testing.assert_allclose(scaled, values * np.float32(gain), rtol=1e-6)


def test_another_power_is_reached_too():
    scaled, _ = normalize(np.array([1.0, -3.0, 2.0, 0.5], dtype=np.float32), power=4.0)
    assert mean_symbol_power(pam_modulate(scaled)) == pytest.approx(4.0, rel=1.1e-3)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_silence_stays_silent_with_a_gain_of_one(count):
    scaled, gain = normalize(np.zeros(count, dtype=np.float32))
    assert gain == 1.0
    assert scaled.shape == (count,)
    assert not scaled.any()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_extreme_values_keep_a_finite_nonzero_gain(size):
    _, gain = normalize(np.full(8, size, dtype=np.float32))
    assert np.isfinite(np.float16(gain))
    assert gain > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_a_number_is_counted_in_the_error(bad):
    with pytest.raises(ValueError, match="1 of 3"):
        normalize(np.array([1.0, bad, 2.0], dtype=np.float32))


def test_a_map_must_be_flattened_first():
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        normalize(np.ones((2, 2), dtype=np.float32))
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        pam_modulate(np.ones((2, 2), dtype=np.float32))


def test_two_values_share_one_symbol():
    symbols = pam_modulate(np.array([1.0, -2.0, 3.0], dtype=np.float32))
    np.testing.assert_allclose(symbols, np.array([1 - 2j, 3 + 0j]) / np.sqrt(2), rtol=1e-6)
    assert symbols.dtype == np.complex64


@given(st.lists(st.floats(-100, 100, width=32), max_size=33))
def test_demodulation_inverts_modulation(values):
    sent = np.array(values, dtype=np.float32)
    np.testing.assert_allclose(pam_demodulate(pam_modulate(sent), sent.size), sent, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("count", [3, 4])
def test_either_parity_fits_two_symbols(count):
    assert pam_demodulate(np.ones(2, dtype=np.complex64), count).shape == (count,)


@pytest.mark.parametrize("count", [-1, 2, 5])
def test_a_count_that_does_not_fit_the_symbols_is_refused(count):
    with pytest.raises(ValueError, match="count"):
        pam_demodulate(np.ones(2, dtype=np.complex64), count)
    with pytest.raises(ValueError, match="count"):
        pam_noise_variance(np.ones(2, dtype=np.float32), count)


def test_the_noise_variance_of_a_value_matches_what_is_measured():
    rng = generator(0, "noise", 0)
    count, gain, sigma2 = 400_000, 0.5, 0.3
    noise = np.sqrt(sigma2 / 2) * (rng.standard_normal(count // 2) + 1j * rng.standard_normal(count // 2))
    measured = np.var(pam_demodulate(noise, count) / gain)
    expected = pam_noise_variance(np.full(count // 2, sigma2, dtype=np.float32), count, gain)
    assert expected[0] == pytest.approx(0.3 / 0.25, rel=1e-6)
    assert measured == pytest.approx(float(expected[0]), rel=5 * np.sqrt(2 / count))


def test_the_noise_variance_of_a_value_is_capped():
    assert pam_noise_variance(np.array([1e4], dtype=np.float32), 2, gain=0.1).tolist() == [1e4, 1e4]

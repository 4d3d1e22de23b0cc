"""Values over a complex channel as amplitudes: what is sent comes back, with the noise that it is said to have."""

import numpy as np
import pytest

from semstream.phy import apply, generator, mean_symbol_power
from semstream.phy.amplitudes import from_symbols, to_symbols


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_values_come_back_from_a_channel_without_noise(count):
    values = generator(0, "values", count).normal(size=count).astype(np.float32)
    symbols, gain = to_symbols(values, power=2.0)
    assert symbols.size == (count + 1) // 2
    heard = from_symbols(*apply(symbols, "awgn", np.inf, generator(0, "air", 0)), count, gain)
    np.testing.assert_allclose(heard.values, values, rtol=1e-3, atol=1e-5)


def test_the_noise_is_as_large_as_it_is_said_to_be():
    values = generator(0, "values", 0).normal(size=20_000).astype(np.float32) * 3
    symbols, gain = to_symbols(values)
    assert mean_symbol_power(symbols) == pytest.approx(1.0, rel=2e-3)
    heard = from_symbols(*apply(symbols, "rayleigh", 10.0, generator(0, "air", 0)), values.size, gain)
    weighted = (heard.values - values) ** 2 / heard.noise_variance
    assert np.mean(weighted) == pytest.approx(1.0, rel=0.05)

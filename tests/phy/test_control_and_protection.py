"""The control block, and how a frame's bits are shared out over layers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radio import needs_radio

from semstream.phy.control import (
    CRC_BITS,
    SIZES,
    ControlError,
    block_symbols,
    checked,
    control_symbols,
    read_block,
    read_control,
    with_crc,
)
from semstream.phy.errors import PhyError
from semstream.phy.interleaving import interleaver
from semstream.phy.protection import plan
from semstream.phy.qam import ORDERS


def random_bits(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, count, dtype=np.uint8)


def noisy(symbols: np.ndarray, snr_db: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    variance = 10 ** (-snr_db / 10)
    noise = np.random.default_rng(seed).standard_normal((symbols.size, 2)) @ np.array([1, 1j])
    return (symbols + noise * np.sqrt(variance / 2)).astype(np.complex64), np.full(symbols.size, variance, np.float32)


@given(bits=st.lists(st.integers(0, 1), min_size=1, max_size=300), place=st.integers(0, 10**6))
def test_a_wrong_bit_is_found_by_the_checksum(bits: list[int], place: int) -> None:
    whole = with_crc(np.array(bits, np.uint8))
    assert checked(whole).tolist() == bits
    whole[place % whole.size] ^= 1
    with pytest.raises(ControlError):
        checked(whole)


def test_golden_checksum() -> None:
    # The check value of CRC-16/GSM: polynomial 0x1021 from 0, inverted.
    bits = np.unpackbits(np.frombuffer(b"123456789", np.uint8))
    assert np.packbits(with_crc(bits)[-CRC_BITS:]).tobytes().hex() == "ce3c"


@needs_radio
@pytest.mark.parametrize("size", [s - CRC_BITS for s in SIZES])
def test_a_block_comes_back_with_its_length(size: int) -> None:
    bits = random_bits(size)
    symbols = control_symbols(bits, 1 / 3)
    rest = control_symbols(random_bits(200, 1), 1 / 3)
    got, taken = read_control(*noisy(np.concatenate((symbols, rest)), 3.0), 1 / 3)
    assert taken == symbols.size
    assert np.array_equal(got, bits)


@needs_radio
def test_nearly_every_block_of_rate_one_third_is_read_at_1_db_and_none_in_noise() -> None:
    bits = random_bits(130)
    symbols = control_symbols(bits, 1 / 3)
    read = 0
    for seed in range(60):
        try:
            read += np.array_equal(read_control(*noisy(symbols, 1.0, seed), 1 / 3)[0][:130], bits)
        except ControlError:
            continue
    assert read >= 59
    for seed in range(60):
        with pytest.raises(ControlError):
            read_control(*noisy(0 * symbols, 0.0, seed), 1 / 3)


@needs_radio
@pytest.mark.parametrize("count", [1, 50, 3000, 9000])
def test_a_block_of_known_size_comes_back(count: int) -> None:
    bits = random_bits(count)
    symbols = block_symbols(bits, 0.4)
    got, taken = read_block(*noisy(symbols, 5.0), count, 0.4)
    assert taken == symbols.size
    assert np.array_equal(got, bits)
    with pytest.raises(ControlError):
        read_block(*noisy(symbols[:-1], 5.0), count, 0.4)


def test_too_many_bits_and_odd_rates_are_refused() -> None:
    with pytest.raises(PhyError, match="at most"):
        control_symbols(np.zeros(SIZES[-1], np.uint8), 0.5)
    for rate in (0.1, 0.9):
        with pytest.raises(PhyError, match="header rate"):
            control_symbols(np.zeros(50, np.uint8), rate)


def test_an_interleaver_is_a_permutation_and_always_the_same() -> None:
    order = interleaver(1000, "a")
    assert np.array_equal(np.sort(order), np.arange(1000))
    assert order[:4].tolist() == interleaver(1000, "a")[:4].tolist()
    assert not np.array_equal(order, interleaver(1000, "b"))
    assert interleaver(0).size == 0


@settings(max_examples=200, deadline=None)
@given(
    bits=st.integers(0, 60_000),
    room=st.floats(1.0, 6.0),
    order=st.sampled_from(ORDERS),
    protection=st.sampled_from(["equal", "code", "power"]),
    coded=st.booleans(),
    layers=st.integers(1, 8),
    spread_db=st.floats(0, 7.75),
)
def test_a_plan_holds_all_bits_within_its_symbols(
    bits: int, room: float, order: int, protection: str, coded: bool, layers: int, spread_db: float
) -> None:
    if protection == "code" and not coded:
        return
    width = order.bit_length() - 1
    symbols = int(room * bits / width) + 2 * layers + 2
    found = plan(bits, symbols, order, coded=coded, protection=protection, spread_db=spread_db, layers=layers)
    assert sum(layer.bits for layer in found) == bits
    assert sum(layer.symbols for layer in found) <= symbols
    for layer in found:
        assert layer.bits <= layer.code_bits
        assert layer.code_bits <= layer.symbols * width
        assert layer.words == 0 or layer.words * layer.k >= layer.bits
        assert coded or not layer.words
    sent = sum(layer.symbols for layer in found)
    if protection == "power" and sent and not coded:
        assert sum(layer.symbols * layer.power for layer in found) == pytest.approx(sent)


def test_significant_bits_get_the_stronger_code_or_the_greater_power() -> None:
    by_code = plan(3000, 1500, 16, protection="code", spread_db=1.0, layers=3)
    rates = [layer.k / layer.n for layer in by_code]
    assert rates == sorted(rates)
    assert rates[0] < 0.5 < rates[2]
    assert sum(layer.symbols for layer in by_code) == pytest.approx(1500, abs=3)
    by_power = plan(3000, 750, 16, coded=False, protection="power", spread_db=2.0, layers=2)
    assert 10 * np.log10(by_power[0].power / by_power[1].power) == pytest.approx(4.0)


def test_what_does_not_fit_says_what_would() -> None:
    with pytest.raises(PhyError, match="fewer bits"):
        plan(1000, 200, 16)
    with pytest.raises(PhyError, match="equal, code, power"):
        plan(10, 100, 16, protection="prayer")
    with pytest.raises(PhyError, match="code rate is 1"):
        plan(10, 100, 16, coded=False, protection="code")

"""5G LDPC: the same code words as Sionna's, the same decisions, and the threshold of the literature."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from radio import needs_radio

from semstream.phy import base_graph
from semstream.phy.errors import PhyError
from semstream.phy.ldpc import ldpc_code
from semstream.phy.ldpc_decoder import decode

pytestmark = needs_radio
CODES = [(24, 100), (100, 250), (200, 960), (300, 600), (600, 900), (1024, 2048), (3000, 4000), (4000, 11000)]


def words(k: int, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, k), dtype=np.uint8)


def heard(sent: np.ndarray, deviation: float, seed: int = 1) -> np.ndarray:
    received = 1 - 2.0 * sent + deviation * np.random.default_rng(seed).standard_normal(sent.shape)
    return (2 * received / deviation**2).astype(np.float32)


@pytest.fixture(scope="module")
def sionna() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sionna.phy.fec import ldpc
    return ldpc


@pytest.mark.parametrize(("k", "n"), [*CODES, (8448, 12000)])
def test_code_words_are_sionnas_bit_for_bit(sionna: Any, k: int, n: int) -> None:
    import torch

    bits = words(k, 3)
    theirs = sionna.LDPC5GEncoder(k, n)(torch.tensor(bits).float()).numpy().astype(np.uint8)
    assert np.array_equal(ldpc_code(k, n).encode(bits), theirs)


def test_the_decoder_decides_as_sionnas_does(sionna: Any) -> None:
    import torch

    k, n, count = 200, 400, 60
    bits = words(k, count)
    code = ldpc_code(k, n)
    llr = heard(code.encode(bits), 0.82)
    theirs = sionna.LDPC5GDecoder(sionna.LDPC5GEncoder(k, n), num_iter=40)(torch.tensor(-llr)).numpy()
    ours = decode(code, llr, 20, "sum-product")
    right = [(theirs == bits).all(axis=1), (ours.bits == bits).all(axis=1)]
    assert 0.3 < right[0].mean() <= 1
    assert (right[0] == right[1]).mean() > 0.9
    settled = right[0] & right[1]
    assert np.array_equal(ours.bits[settled], theirs[settled])


@pytest.mark.parametrize("rule", ["min-sum", "sum-product"])
@pytest.mark.parametrize(("k", "n"), CODES)
def test_words_come_back_through_noise_and_say_that_they_do(rule: Any, k: int, n: int) -> None:
    bits = words(k, 4)
    code = ldpc_code(k, n)
    # 4 dB above the capacity of the rate.
    deviation = 10 ** (-4 / 20) / np.sqrt(4 ** (k / n) - 1)
    got = decode(code, heard(code.encode(bits), deviation), 20, rule)
    assert np.array_equal(got.bits, bits)
    assert got.converged.all()
    assert (got.iterations < 20).all()


def test_a_word_that_cannot_be_decoded_says_so() -> None:
    code = ldpc_code(500, 600)
    got = decode(code, heard(code.encode(words(500, 8)), 2.0), 10)
    assert not got.converged.any()
    assert (got.iterations == 10).all()


def test_a_word_is_decoded_alike_alone_and_in_a_batch() -> None:
    code = ldpc_code(400, 800)
    llr = heard(code.encode(words(400, 30)), 0.8)
    together = decode(code, llr, 12)
    for i in range(30):
        alone = decode(code, llr[i : i + 1], 12)
        assert np.array_equal(alone.llr[0], together.llr[i])
        assert alone.converged[0] == together.converged[i]


def test_what_is_known_of_the_bits_beforehand_helps() -> None:
    bits = (np.random.default_rng(0).random((60, 400)) < 0.15).astype(np.uint8)
    code = ldpc_code(400, 600)
    llr = heard(code.encode(bits), 0.78)
    prior = np.full(bits.shape, np.log(0.85 / 0.15), np.float32)
    wrong = [np.mean((decode(code, llr, 15, "sum-product", p).bits != bits).any(axis=1)) for p in (None, prior)]
    assert wrong[0] > 0.5
    assert wrong[1] < 0.1


def test_a_long_code_of_rate_one_half_is_within_a_decibel_of_capacity() -> None:
    # Binary-input AWGN reaches rate 1/2 at Es/N0 = -2.82 dB, sigma = 0.979.
    code = ldpc_code(4000, 8000)
    sent = code.encode(words(4000, 6))
    assert decode(code, heard(sent, 0.979 / 10 ** (1 / 20)), 40, "sum-product").converged.mean() > 0.8
    assert not decode(code, heard(sent, 0.979 * 10 ** (0.5 / 20)), 20, "sum-product").converged.any()


@pytest.mark.parametrize(
    ("k", "n", "said"), [(8, 20, "12 to 8448"), (9000, 18000, "12 to 8448"), (500, 510, "rate"), (500, 9000, "rate")]
)
def test_a_code_that_does_not_exist_is_refused(k: int, n: int, said: str) -> None:
    with pytest.raises(PhyError, match=said):
        ldpc_code(k, n)


def test_wrong_shapes_rules_and_nan_are_refused() -> None:
    code = ldpc_code(100, 200)
    with pytest.raises(PhyError, match="100"):
        code.encode(np.zeros((2, 99), np.uint8))
    with pytest.raises(PhyError, match="200"):
        decode(code, np.zeros((2, 199), np.float32))
    with pytest.raises(PhyError, match="min-sum"):
        decode(code, np.zeros((2, 200), np.float32), rule="magic")  # type: ignore[arg-type]
    with pytest.raises(PhyError, match="NaN"):
        decode(code, np.full((2, 200), np.nan, np.float32))


def test_without_sionna_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_graph, "find_spec", lambda name: None)
    with pytest.raises(PhyError, match=r"semstream\[radio\]"):
        base_graph.check_available()

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semstream.quantize.errors import PackingError
from semstream.quantize.packing import class_map_bits, pack_class_map, unpack_class_map


@given(st.integers(1, 256), st.integers(0, 400), st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_a_class_map_survives_in_the_bits_that_are_counted(m: int, count: int, seed: int) -> None:
    classes = np.random.default_rng(seed).integers(0, m, count).astype(np.uint8)
    payload = pack_class_map(classes, m)
    assert unpack_class_map(payload, count, m).tolist() == classes.tolist()
    assert payload.size == -(-class_map_bits(count, m) // 8)


@pytest.mark.parametrize(
    ("count", "m", "bits"),
    [(40, 3, 64), (80, 3, 128), (41, 3, 66), (64, 2, 64), (32, 4, 64), (5, 1, 0), (0, 3, 0), (8, 256, 64), (27, 5, 64)],
)
def test_the_bits_of_a_class_map_are_golden(count: int, m: int, bits: int) -> None:
    assert class_map_bits(count, m) == bits


def test_the_largest_digits_of_every_base_fit_their_word() -> None:
    for m in range(1, 257):
        classes = np.full(130, m - 1, np.uint8)
        assert (unpack_class_map(pack_class_map(classes, m), 130, m) == m - 1).all()


@given(st.binary(max_size=40), st.integers(0, 120), st.integers(1, 256))
@settings(max_examples=200, deadline=None)
def test_foreign_class_maps_are_refused_or_hold_valid_classes(raw: bytes, count: int, m: int) -> None:
    try:
        classes = unpack_class_map(np.frombuffer(raw, np.uint8), count, m)
    except PackingError:
        return
    assert classes.shape == (count,)
    assert (classes < m).all()


@pytest.mark.parametrize("m", [0, 257])
def test_an_impossible_number_of_classes_is_refused(m: int) -> None:
    with pytest.raises(PackingError, match=r"1\.\.256"):
        pack_class_map(np.zeros(3, np.uint8), m)


def test_a_class_beyond_the_last_is_refused() -> None:
    with pytest.raises(PackingError, match=r"0\.\.2"):
        pack_class_map(np.array([0, 3], np.uint8), 3)

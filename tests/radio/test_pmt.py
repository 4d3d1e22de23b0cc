"""PMT as GNU Radio writes it: golden bytes of pmt.serialize_str, round trips, and nothing but RadioError on garbage."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from semstream.radio import RadioError
from semstream.radio.pmt import MAX_DEPTH, Pair, decode, encode

GOLDEN: list[tuple[Any, str]] = [  # what GNU Radio 3.10.5's pmt.serialize_str gives for each
    (True, "00"),
    (False, "01"),
    (None, "06"),
    ("burst", "0200056275727374"),
    (-5, "03fffffffb"),
    (2**31 - 1, "037fffffff"),
    (2**31, "0d0000000080000000"),
    (-(2**31) - 1, "0dffffffff7fffffff"),
    (2**40, "0d0000010000000000"),
    (1.5, "043ff8000000000000"),
    (1 + 2j, "053ff00000000000004000000000000000"),
    (Pair("a", 1), "07020001610300000001"),
    ([1, None], "0800000002030000000106"),
    ((1, True), "0c00000002030000000100"),
    ({"a": 1, "b": True}, "09070200016200090702000161030000000106"),
    (Pair(1, Pair(2, Pair(3, None))), "07030000000107030000000207030000000306"),
    (Pair({"a": 1, "b": True}, np.array([1 + 2j, -0.5j], np.complex64)),
     "07090702000162000907020001610300000001060a0a0000000201003f8000004000000080000000bf000000"),
    (Pair(None, np.array([1, 2, 255], np.uint8)), "07060a000000000301000102ff"),
    (np.zeros(0, np.complex64), "0a0a000000000100"),
]  # fmt: skip
GOLDEN += [
    (np.array([1, 2], dtype), f"0a{subtype:02x}000000020100{elements}")
    for subtype, (dtype, elements) in enumerate(
        [
            ("u1", "0102"),
            ("i1", "0102"),
            ("u2", "00010002"),
            ("i2", "00010002"),
            ("u4", "0000000100000002"),
            ("i4", "0000000100000002"),
            ("u8", "00000000000000010000000000000002"),
            ("i8", "00000000000000010000000000000002"),
            ("f4", "3f80000040000000"),
            ("f8", "3ff00000000000004000000000000000"),
            ("c8", "3f800000000000004000000000000000"),
            ("c16", "3ff0000000000000000000000000000040000000000000000000000000000000"),
        ]
    )
]

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=9)
    | st.floats(allow_nan=False) | st.complex_numbers(allow_nan=False)
)  # fmt: skip
vectors = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16"]).flatmap(
    lambda name: hnp.arrays(np.dtype(name), st.integers(0, 9))
)
values = st.recursive(
    scalars | vectors,
    lambda v: (
        st.lists(v, max_size=3)
        | st.lists(v, max_size=3).map(tuple)
        | st.builds(Pair, v, v)
        | st.dictionaries(st.text(max_size=5), v, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same kind: True is not 1, a tuple no list."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, Pair):
        return same(a.first, b.first) and same(a.rest, b.rest)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize(("value", "serialized"), GOLDEN, ids=[golden[1][:24] for golden in GOLDEN])
def test_the_bytes_are_gnu_radios_own(value: Any, serialized: str) -> None:
    assert encode(value).hex() == serialized
    assert same(decode(bytes.fromhex(serialized)), value)


def test_what_only_gnu_radio_writes_is_read_too() -> None:
    assert decode(bytes.fromhex("0b0000000000000007")) == 7  # a uint64 that would fit in an int32
    assert decode(bytes.fromhex("0a00000000020300000001ff")).tolist() == [1, 255]  # more padding
    twice = "09" + "0702000161" + "0300000002" + "09" + "0702000161" + "0300000001" + "06"
    assert decode(bytes.fromhex(twice)) == {"a": 2}  # what was added last counts


@given(values)
def test_any_value_comes_back_as_it_was(value: Any) -> None:
    assert same(decode(encode(value)), value)


def test_an_empty_dict_is_nil() -> None:
    assert encode({}) == encode(None)


@pytest.mark.parametrize("value", [{1}, b"x", object(), 2**64, -(2**63) - 1, "x" * 65536, "\ud800", np.zeros((2, 2)),
                                   np.array(["a"]), np.array([True])])  # fmt: skip
def test_what_has_no_pmt_is_refused_in_words(value: Any) -> None:
    with pytest.raises(RadioError, match="PMT"):
        encode(value)


@given(st.binary(max_size=300))
def test_random_bytes_never_raise_anything_but_radio_error(data: bytes) -> None:
    with suppress(RadioError):
        decode(data)


@given(st.lists(st.integers(0, 15), max_size=200).map(bytes))
def test_random_numbers_of_types_never_raise_anything_but_radio_error(data: bytes) -> None:
    with suppress(RadioError):
        decode(data)


@given(values, st.data())
def test_a_damaged_value_never_raises_anything_but_radio_error(value: Any, data: st.DataObject) -> None:
    serialized = bytearray(encode(value))
    place = data.draw(st.integers(0, len(serialized) - 1))
    if data.draw(st.booleans()):
        with pytest.raises(RadioError):
            decode(bytes(serialized[:place]))
    serialized[place] ^= data.draw(st.integers(1, 255))
    with suppress(RadioError):
        decode(bytes(serialized))


@pytest.mark.parametrize(
    "serialized",
    [
        "",
        "0e",
        "ff",
        "0600",  # something behind the value
        "02000561",
        "020001ff",
        "0a0c000000000100",
        "0a0affffffff0100",
        "08ffffffff",
        "0cffffffff06",
        "0906",
        "0907060600",
        "0907080000000006" + "06",  # a vector as a key
    ],
)
def test_a_foreign_or_cut_value_is_refused(serialized: str) -> None:
    with pytest.raises(RadioError):
        decode(bytes.fromhex(serialized))


@pytest.mark.parametrize("opening", ["0706", "0800000001", "0c00000001", "090706"])
def test_deep_nesting_is_refused_and_not_followed(opening: str) -> None:
    with pytest.raises(RadioError, match=f"deeper than {MAX_DEPTH}"):
        decode(bytes.fromhex(opening) * 100_000)
    deep: Any = None
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(RadioError, match=f"deeper than {MAX_DEPTH}"):
        encode(deep)


def test_a_length_that_lies_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        for lie in ("08ffffffff", "0cffffffff", "0a0bffffffff0100", "02ffff", "0800100000" + "08000fffff" * 3):
            with pytest.raises(RadioError):
                decode(bytes.fromhex(lie) + bytes(1000))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from semstream.quantize.packing import MAX_WIDTH, PackingError, header_bits, pack, payload_bits, unpack


@st.composite
def coded(draw: st.DrawFn) -> tuple[list[np.ndarray], list[int]]:
    widths = draw(st.lists(st.integers(0, MAX_WIDTH), max_size=12))
    seed = draw(st.integers(0, 2**32 - 1))
    equal = draw(st.booleans())
    sizes = [draw(st.integers(0, 70))] * len(widths) if equal else [draw(st.integers(0, 300)) for _ in widths]
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 2**w, n).astype(np.uint16) for w, n in zip(widths, sizes, strict=True)], widths


@given(coded())
@settings(max_examples=200, deadline=None)
def test_unpacking_gives_back_what_was_packed(case: tuple[list[np.ndarray], list[int]]) -> None:
    groups, widths = case
    payload = pack(groups, widths)
    back, back_widths = unpack(payload)
    assert payload.dtype == np.uint8
    assert back_widths.tolist() == widths
    assert [g.tolist() for g in back] == [g.tolist() for g in groups]
    assert all(g.dtype == np.uint16 for g in back)


@given(coded())
@settings(max_examples=60, deadline=None)
def test_a_payload_is_its_header_and_the_exact_bits_of_its_codes(case: tuple[list[np.ndarray], list[int]]) -> None:
    groups, widths = case
    counts = [g.size for g in groups]
    bits = sum(w * n for w, n in zip(widths, counts, strict=True))
    assert payload_bits(widths, counts) == bits
    assert pack(groups, widths).size * 8 == header_bits(widths, counts) + -(-bits // 8) * 8


@pytest.mark.parametrize("width", range(MAX_WIDTH + 1))
def test_the_extreme_codes_of_every_width_survive(width: int) -> None:
    codes = np.array([0, 2**width - 1] * 9 + [2**width - 1], np.uint16)
    assert unpack(pack([codes], [width]))[0][0].tolist() == codes.tolist()


def test_a_payload_has_the_documented_bytes() -> None:
    # widths 1, 3; group sizes 2, 1. The wider group comes first: bits 0 of 5, 1, 0, then bit 1 of 5, then bit 2 of 5
    payload = pack([np.array([1, 0]), np.array([5])], [1, 3])
    assert payload.tolist() == [0xA7, 0x10, 2, 0x31, 2, 1, 0b10011]


def test_an_array_of_equal_groups_packs_as_the_list_of_them_does() -> None:
    widths = np.array([4, 0, 9, 1, 12, 4], np.uint8)
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, 2**w, 50) for w in widths.tolist()]).astype(np.uint16)
    assert pack(codes, widths).tolist() == pack(list(codes), widths).tolist()
    assert pack(np.asfortranarray(codes), widths).tolist() == pack(list(codes), widths).tolist()


@pytest.mark.parametrize(
    ("groups", "widths", "says"),
    [
        ([np.array([4])], [2], "do not fit"),
        (np.array([[4], [0]]), [2, 3], "do not fit"),
        ([np.array([1])], [0], "do not fit"),
        ([np.array([-1])], [3], "expected 0"),
        ([np.array([70000])], [12], "expected 0"),
        ([np.array([0.5])], [3], "whole numbers"),
        ([np.array([1])], [13], "0..12"),
        ([np.array([1])], [-1], "0..12"),
        ([np.array([1])], [1.5], "whole numbers"),
        ([np.array([1])], [1, 1], "one for each"),
        ([np.array([[1]])], [1], "1-D"),
        (np.zeros(3, np.uint16), [1], "1-D arrays"),
        ([np.zeros(0, np.uint16)] * 4097, [1] * 4097, "4096"),
    ],
)
def test_codes_that_cannot_be_packed_are_refused(groups: list[np.ndarray], widths: list[int], says: str) -> None:
    with pytest.raises(PackingError, match=says):
        pack(groups, widths)


@given(st.binary(max_size=200))
@example(b"")
@example(bytes([0xA7, 0x11, 1, 0x00, 0xFF, 0xFF, 0xFF, 0x7F]))
@settings(max_examples=400, deadline=None)
def test_foreign_bytes_are_refused_with_a_packing_error(raw: bytes) -> None:
    for payload in (raw, bytes([0xA7, 0x10]) + raw, bytes([0xA7, 0x11]) + raw):
        try:
            groups, widths = unpack(np.frombuffer(payload, np.uint8))
        except PackingError:
            continue
        assert pack(groups, widths).size <= len(payload) + 8  # then it is a payload, up to padding of varints


@given(coded(), st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_damaged_payload_is_refused_or_is_another_payload(
    case: tuple[list[np.ndarray], list[int]], place: int, flip: int
) -> None:
    payload = pack(*case)
    damaged = payload.copy()
    damaged[place % payload.size] ^= flip
    try:
        groups, widths = unpack(damaged)
    except PackingError:
        return
    assert all((g < 2 ** int(w)).all() for g, w in zip(groups, widths, strict=True))


@given(coded(), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_a_payload_cut_short_or_extended_is_refused(case: tuple[list[np.ndarray], list[int]], by: int) -> None:
    payload = pack(*case)
    with pytest.raises(PackingError):
        unpack(payload[: max(0, payload.size - by)])
    with pytest.raises(PackingError):
        unpack(np.concatenate((payload, np.zeros(by, np.uint8))))


def test_a_header_that_claims_gigabytes_takes_no_memory() -> None:
    varint = [0xFF, 0xFF, 0xFF, 0x7F]  # 2^28 - 1
    claims = [
        [0xA7, 0x11, 1, 12, *varint],  # many codes
        [0xA7, 0x11, 1, 0, *varint],  # many codes at 0 bits, which need no body
        [0xA7, 0x11, 0xFF, 0x1F, *([0] * 2048), *varint],  # 4095 groups of them
        [0xA7, 0x10, *varint],  # many groups
        [0xA7, 0x11, 1, 12, 0xFF, 0xFF, 0x7F],  # 2 million codes of a body that is not there
    ]
    tracemalloc.start()
    try:
        for claim in claims:
            with pytest.raises(PackingError):
                unpack(np.array(claim, np.uint8))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_receiver_can_limit_the_codes_it_accepts() -> None:
    payload = pack([np.zeros(100, np.uint16)], [0])
    assert unpack(payload, max_codes=100)[0][0].size == 100
    with pytest.raises(PackingError, match="claims 100 codes"):
        unpack(payload, max_codes=99)


@pytest.mark.parametrize("payload", [np.zeros(4, np.uint16), np.zeros((2, 2), np.uint8), np.zeros(4, np.float32)])
def test_a_payload_of_another_type_is_refused(payload: np.ndarray) -> None:
    with pytest.raises(PackingError, match="uint8"):
        unpack(payload)

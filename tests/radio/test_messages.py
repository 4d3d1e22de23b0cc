"""Messages of GNU Radio's ZeroMQ blocks: golden bytes, round trips, and nothing but RadioError on garbage."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from semstream.radio import RadioError
from semstream.radio.messages import (
    Pdu,
    Tag,
    decode_pdu,
    decode_samples,
    decode_tagged,
    encode_pdu,
    encode_samples,
    encode_tagged,
)

samples = hnp.arrays(np.complex64, st.integers(0, 20))
SOME = np.array([1 + 2j, -0.5j], np.complex64)
SOME_BYTES = np.array([1, 2, -0.0, -0.5], "=f4").tobytes()


def test_raw_samples_are_i_and_q_in_turn() -> None:
    assert encode_samples(SOME) == SOME_BYTES
    assert decode_samples(SOME_BYTES).tobytes() == SOME_BYTES
    assert encode_samples(SOME[::2]) == SOME_BYTES[:8]


def test_a_header_without_tags_has_19_bytes() -> None:
    assert encode_tagged(SOME) == bytes.fromhex("f05f01" + "00" * 16) + SOME_BYTES


def test_tags_stand_before_the_samples() -> None:
    expected = (
        "f05f01" + "0500000000000000" + "0100000000000000"  # offset 5, one tag
        + "0600000000000000" + "0200056275727374" + "0300000007" + "01"  # at 6, burst = 7, no source
    )  # fmt: skip
    message = encode_tagged(SOME, [Tag(6, "burst", 7)], 5)
    assert message == bytes.fromhex(expected) + SOME_BYTES
    offset, tags, got = decode_tagged(message)
    assert (offset, tags) == (5, [Tag(6, "burst", 7)])
    assert got.tobytes() == SOME_BYTES


def test_a_pdu_is_a_pair_of_dict_and_vector() -> None:
    message = encode_pdu(Pdu(SOME, {"a": 1}))
    assert message.hex() == ("070907020001610300000001060a0a0000000201003f8000004000000080000000bf000000")
    got = decode_pdu(message)
    assert got.metadata == {"a": 1}
    assert np.array_equal(got.data, SOME)
    assert decode_pdu(encode_pdu(Pdu(np.arange(3, dtype=np.uint8)))).data.tolist() == [0, 1, 2]


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text is
@given(samples, st.integers(0, 2**63), st.data())
def test_any_samples_and_tags_come_back(given_samples: np.ndarray, offset: int, data: st.DataObject) -> None:
    places = st.integers(offset, offset + max(0, given_samples.size - 1))
    tag = st.builds(Tag, places, st.text(max_size=5), st.integers(0, 9) | st.text(max_size=5), st.booleans())
    tags = data.draw(st.lists(tag, max_size=4)) if given_samples.size else []
    got = decode_tagged(encode_tagged(given_samples, tags, offset))
    assert (got.offset, got.tags) == (offset, tags)
    assert got.samples.tobytes() == given_samples.tobytes()
    assert decode_samples(encode_samples(given_samples)).tobytes() == given_samples.tobytes()
    assert decode_pdu(encode_pdu(Pdu(given_samples))).data.tobytes() == given_samples.tobytes()


def test_a_tag_outside_the_samples_is_not_sent() -> None:
    for offset in (4, 7):
        with pytest.raises(RadioError, match="'burst'"):
            encode_tagged(SOME, [Tag(offset, "burst", 1)], 5)


@pytest.mark.parametrize("length", [1, 7, 9, 8191])
def test_a_length_that_is_no_multiple_of_8_is_named(length: int) -> None:
    with pytest.raises(RadioError, match=rf"{length} bytes.*no multiple of 8"):
        decode_samples(bytes(length))
    with pytest.raises(RadioError, match=rf"{length} bytes.*no multiple of 8"):
        decode_tagged(encode_tagged(SOME[:0]) + bytes(length))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(19),
        bytes.fromhex("f05f02") + bytes(16),
        bytes.fromhex("f05f01") + bytes(15),
        bytes.fromhex("f05f01") + bytes(8) + b"\xff" * 8 + bytes(100),
        bytes.fromhex("f05f01") + bytes(8) + bytes.fromhex("0100000000000000") + bytes(8) + b"\x0e\x06\x01",
        bytes.fromhex("f05f01") + bytes(8) + bytes.fromhex("0200000000000000") + bytes(8) + b"\x06" * 15,
    ],
)
def test_a_wrong_header_is_refused(message: bytes) -> None:
    with pytest.raises(RadioError):
        decode_tagged(message)


@pytest.mark.parametrize("message", ["06", "0706" + "06", "0703000000010a0a0000000001" + "00", "07060a08000000000100"])
def test_what_is_no_pdu_is_refused(message: str) -> None:
    with pytest.raises(RadioError):
        decode_pdu(bytes.fromhex(message))


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xf0\x5f\x01", b"\x07\x06"]))
def test_random_messages_never_raise_anything_but_radio_error(data: bytes, opening: bytes) -> None:
    for decode in (decode_samples, decode_tagged, decode_pdu):
        with suppress(RadioError):
            decode(opening + data)


@given(samples, st.data())
def test_a_damaged_message_never_raises_anything_but_radio_error(
    given_samples: np.ndarray, data: st.DataObject
) -> None:
    tags = [Tag(0, "burst", 3)] if given_samples.size else []
    for message, decode in (
        (encode_tagged(given_samples, tags), decode_tagged),
        (encode_pdu(Pdu(given_samples, {"burst": 1})), decode_pdu),
    ):
        damaged = bytearray(message)
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] ^= data.draw(st.integers(1, 255))
        for piece in (damaged, damaged[:place]):
            with suppress(RadioError):
                decode(bytes(piece))

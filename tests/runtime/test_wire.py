"""The wire form: round trip, and nothing but WireError on garbage."""

from __future__ import annotations

from contextlib import suppress

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from semstream.runtime import ANY, ArraySpec, Frame, PortType, WireError
from semstream.runtime.frames.types import DTYPE_NAMES
from semstream.runtime.frames.wire import MAX_HEADER_BYTES, MAX_NESTING, control, decode, encode, pack, unpack

IMAGE = PortType("Image", {"image": ArraySpec("uint8", ("H", "W", 3))}, {"mask": ArraySpec("uint8", ("H", "W"))}, 3000)

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=9)
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3))
arrays = st.sampled_from(DTYPE_NAMES).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
frames = st.builds(
    Frame,
    st.dictionaries(st.text(min_size=1, max_size=8), arrays, max_size=3),
    st.integers(0, 2**63 - 1),
    st.text(max_size=10),
    st.integers(0, 2**63 - 1),
    st.dictionaries(st.text(max_size=5), values, max_size=3),
    st.lists(st.tuples(st.text(max_size=5), st.integers(0, 2**62)).map(list), max_size=3),
)


def image_parts(**changes: object) -> list[bytes]:
    header = {
        "v": 1,
        "kind": "data",
        "stream": "main",
        "seq": 1,
        "t0_ns": 5,
        "tags": {},
        "trace": [],
        "arrays": [{"name": "image", "dtype": "uint8", "shape": [2, 4, 3]}],
    }
    header.update(changes)
    return [pack(header), bytes(24)]


@given(frames)
def test_any_frame_survives_the_wire(frame: Frame) -> None:
    parts = [bytes(part) for part in encode(frame)]
    message = decode(parts, ANY)
    assert message.frame is not None
    assert message.frame.equals(frame)
    assert message.frame.trace == frame.trace
    assert not any(array.flags.writeable for array in message.frame.arrays.values())


def test_a_strided_array_survives_the_wire_and_a_large_one_is_not_copied() -> None:
    large = np.arange(2**17, dtype=np.float32).reshape(256, 512)
    parts = encode(Frame({"a": large, "b": large[::2, ::3], "c": large.T}))
    assert np.shares_memory(np.frombuffer(parts[1], np.float32), large)
    received = decode(parts, ANY).frame
    assert received is not None
    assert np.array_equal(received["b"], large[::2, ::3])
    assert np.array_equal(received["c"], large.T)
    assert np.shares_memory(received["a"], large)


def deep(levels: int) -> bytes:
    return b"\x91" * levels + b"\x00"


@pytest.mark.parametrize("levels", [MAX_NESTING + 1, 600, 1100])
@pytest.mark.parametrize("field", ["v", "kind", "tags", "arrays"])
def test_what_is_nested_too_deep_to_be_packed_again_is_refused(field: str, levels: int) -> None:
    head = image_parts()[0]
    with pytest.raises(WireError) as caught:
        decode([bytes([head[0] + 1]) + head[1:] + pack(field) + deep(levels), bytes(24)], ANY)
    assert caught.value.reason in ("nested", "not_msgpack")
    assert len(str(caught.value)) < 200


def test_what_is_nested_as_deep_as_allowed_is_sent_on() -> None:
    tag: object = 0
    for _ in range(MAX_NESTING - 2):  # the header and the tags are two
        tag = [tag]
    frame = decode(image_parts(tags={"deep": tag}), IMAGE).frame
    assert frame is not None
    assert decode([bytes(part) for part in encode(frame)], IMAGE).frame is not None


def test_an_extension_type_is_refused() -> None:
    with pytest.raises(WireError, match="extension"):
        unpack(b"\xc7\x00\x05")


def test_gaps_ride_on_data() -> None:
    from semstream.runtime.edges.parcel import with_gaps

    parts = encode(Frame({"a": np.zeros(2)}, seq=7))
    message = decode([with_gaps(parts[0], [["main", 3, 6]]), *parts[1:]], ANY)
    assert message.gaps == [("main", 3, 6)]
    assert message.frame is not None
    assert message.frame.seq == 7


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"v": 2}, "version"),
        ({"v": True}, "version"),
        ({"v": "1"}, "version"),
        ({"kind": "exec"}, "kind"),
        ({"kind": ["data"]}, "kind"),
        ({"kind": "eos"}, "part_count"),
        ({"stream": 3}, "field_type"),
        ({"seq": -1}, "field_type"),
        ({"seq": 1.0}, "field_type"),
        ({"seq": 2**64 - 1}, "field_type"),
        ({"t0_ns": "now"}, "field_type"),
        ({"tags": []}, "tags"),
        ({"trace": [["a"]]}, "trace"),
        ({"trace": [["a", 1]] * 2000}, "trace"),
        ({"gaps": [["main", 5, 2]]}, "gaps"),
        ({"arrays": {}}, "field_type"),
        ({"arrays": []}, "part_count"),
        ({"arrays": [[]]}, "field_type"),
        ({"arrays": [{"name": "image", "dtype": "object", "shape": [2, 4, 3]}]}, "dtype"),
        ({"arrays": [{"name": "image", "dtype": "uint16", "shape": [2, 4, 3]}]}, "dtype"),
        ({"arrays": [{"name": "image", "dtype": "uint8", "shape": [2, 4, 4]}]}, "shape"),
        ({"arrays": [{"name": "image", "dtype": "uint8", "shape": [24]}]}, "shape"),
        ({"arrays": [{"name": "image", "dtype": "uint8", "shape": [-2, -4, 3]}]}, "shape"),
        ({"arrays": [{"name": "image", "dtype": "uint8", "shape": [2, 5, 3]}]}, "byte_count"),
        ({"arrays": [{"name": "image", "dtype": "uint8", "shape": [2**40, 2**40, 3]}]}, "too_many_elements"),
        ({"arrays": [{"name": "other", "dtype": "uint8", "shape": [2, 4, 3]}]}, "undeclared_array"),
        ({"arrays": [{"name": "mask", "dtype": "uint8", "shape": [4, 6]}]}, "missing_array"),
    ],
)
def test_a_wrong_field_is_refused_with_its_reason(changes: dict[str, object], reason: str) -> None:
    decode(image_parts(), IMAGE)
    with pytest.raises(WireError) as caught:
        decode(image_parts(**changes), IMAGE)
    assert caught.value.reason == reason


def test_named_dimensions_must_agree_within_a_frame() -> None:
    both = [
        {"name": "image", "dtype": "uint8", "shape": [2, 4, 3]},
        {"name": "mask", "dtype": "uint8", "shape": [2, 5]},
    ]
    with pytest.raises(WireError, match="W = 4 in this frame"):
        decode([*image_parts(arrays=both), bytes(10)], IMAGE)


def test_an_array_twice_is_refused() -> None:
    twice = [{"name": "image", "dtype": "uint8", "shape": [2, 4, 3]}] * 2
    with pytest.raises(WireError) as caught:
        decode([*image_parts(arrays=twice), bytes(24)], IMAGE)
    assert caught.value.reason == "duplicate_array"


def test_an_oversized_header_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(WireError) as caught:
        decode([bytes(MAX_HEADER_BYTES + 1)], IMAGE)
    assert caught.value.reason == "header_too_long"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xc1",
        b"GET / HTTP/1.1\r\n",
        msgpack.packb(5),
        msgpack.packb([1] * 9),
        msgpack.packb({1: 2}),
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
        msgpack.packb(msgpack.ExtType(4, b"x")),
        msgpack.packb({"v": 1, "kind": "data", "tags": msgpack.Timestamp(1)}),
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin\x94.",
    ],
)
def test_a_foreign_header_is_refused(header: bytes) -> None:
    with pytest.raises(WireError):
        decode([header, b"x"], IMAGE)


def test_an_empty_message_is_refused() -> None:
    with pytest.raises(WireError):
        decode([], IMAGE)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_random_bytes_never_raise_anything_but_wire_error(parts: list[bytes]) -> None:
    with suppress(WireError):
        decode(parts, IMAGE)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(["v", "kind", "stream", "seq", "t0_ns", "tags", "trace", "arrays", "gaps"]), values)
)
def test_a_header_with_any_fields_never_raises_anything_but_wire_error(changes: dict[str, object]) -> None:
    with suppress(WireError):
        decode(image_parts(**changes), IMAGE)


@given(frames.filter(lambda frame: frame.arrays), st.data())
def test_a_damaged_frame_never_raises_anything_but_wire_error(frame: Frame, data: st.DataObject) -> None:
    parts = [bytearray(part) for part in encode(frame)]
    which = data.draw(st.integers(0, len(parts) - 1))
    cut = data.draw(st.integers(0, max(0, len(parts[which]) - 1)))
    if data.draw(st.booleans()):
        del parts[which][cut:]
    elif parts[which]:
        parts[which][cut] ^= data.draw(st.integers(1, 255))
    with suppress(WireError):
        decode([bytes(part) for part in parts], ANY)


def test_numpy_scalars_in_tags_become_plain_values() -> None:
    frame = decode(encode(Frame({}, tags={"snr": np.float32(4), "bits": np.array([1, 2])})), ANY).frame
    assert frame is not None
    assert frame.tags == {"snr": 4.0, "bits": [1, 2]}


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(2, ">f4"), np.zeros(1, "M8[ns]")])
def test_an_array_without_wire_form_is_refused_by_the_sender(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match="no wire form"):
        encode(Frame({"a": array}))


def test_control_messages_decode_to_their_fields() -> None:
    message = decode([control("hello", node="a", credit=2)], ANY)
    assert (message.kind, message.fields["node"], message.fields["credit"]) == ("hello", "a", 2)

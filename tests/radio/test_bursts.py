"""Bursts are found again whatever the messages they come in, and nothing that lies is believed."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radio_fixtures import gaussian

from semstream.radio import RadioError
from semstream.radio.burst_reader import StreamReader, reader
from semstream.radio.bursts import CHUNK, BurstWriter, Layout, Mode
from semstream.radio.messages import Pdu, Tag, decode_samples, decode_tagged, encode_pdu, encode_samples, encode_tagged

MODES: list[Mode] = ["raw", "tagged", "pdu"]
SOME = np.arange(1, 11).astype(np.complex64)


def stream_of(mode: Mode, messages: list[bytes]) -> tuple[np.ndarray, list[Tag]]:
    """All samples of messages to GNU Radio, and the tags where they stand in them."""
    samples, tags, at = [], [], 0
    for message in messages:
        offset, told, part = decode_tagged(message) if mode == "tagged" else (0, [], decode_samples(message))
        tags += [Tag(at + tag.offset - offset, tag.key, tag.value) for tag in told]
        samples.append(part)
        at += part.size
    return np.concatenate(samples), tags


def cut(mode: Mode, samples: np.ndarray, tags: list[Tag], sizes: list[int]) -> list[bytes]:
    """A stream as GNU Radio gives it: in messages of any sizes, counted from its start."""
    messages, at = [], 0
    for size in [*sizes, samples.size]:
        part = samples[at : at + size]
        mine = [tag for tag in tags if at <= tag.offset < at + part.size]
        messages.append(encode_tagged(part, mine, at) if mode == "tagged" else encode_samples(part))
        at += part.size
    return messages


@given(
    mode=st.sampled_from(["raw", "tagged"]),
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    sizes=st.lists(st.integers(0, 50), max_size=12),
    advance=st.sampled_from([0, 3]),
)
@settings(deadline=None)
def test_bursts_come_back_whatever_the_messages_and_the_advance(
    mode: Mode, counts: list[int], sizes: list[int], advance: int
) -> None:
    layout = Layout(advance=advance, flush=16)
    writer, found = BurstWriter(mode, layout), reader(mode, layout)
    sent = [gaussian(count, np.random.default_rng(count)) for count in counts]
    messages = writer.opening()
    for number, samples in enumerate(sent):
        place, more = writer.burst(number, samples, b"told %d" % number)
        found.expect(place)
        messages += more
    messages += writer.ending()
    samples, tags = stream_of(mode, messages)
    assert samples.size == writer.sent
    early = np.concatenate([samples[advance:], np.zeros(advance, np.complex64)])  # as GNU Radio's channel model is
    got = [burst for message in cut(mode, early, tags, sizes) for burst in found.feed(message)]
    assert [burst.number for burst in got] == list(range(len(counts)))
    for burst, expected in zip(got, sent, strict=True):
        assert np.array_equal(burst.samples, expected)
        assert burst.missing == 0
        assert burst.header == (b"told %d" % burst.number if mode == "tagged" else b"")
    assert not found.faults
    assert found.ended == (mode == "tagged")


def test_pdus_come_back_behind_their_lead_in() -> None:
    layout = Layout(advance=3, flush=16)
    writer, found = BurstWriter("pdu", layout), reader("pdu", layout)
    place, messages = writer.burst(7, SOME, b"told")
    assert writer.opening() == []
    assert place.count == 10
    opened = [decode for message in messages for decode in found.feed(message)]
    # Passed on without the advance of a channel, the lead-in is still in front.
    (burst,) = opened
    assert (burst.number, burst.header) == (7, b"told")
    assert burst.samples.tolist() == [0, 0, 0, *SOME[:7]]
    for message in writer.ending():
        assert found.feed(message) == []
    assert found.ended


def test_a_large_burst_goes_in_messages_that_fit_gnu_radios_buffers() -> None:
    writer = BurstWriter("tagged", Layout(flush=16, longest=3 * CHUNK))
    _, messages = writer.burst(0, np.ones(2 * CHUNK, np.complex64))
    parts = [decode_tagged(message) for message in messages]
    assert [part.samples.size for part in parts] == [CHUNK, CHUNK, 16]
    assert [len(part.tags) for part in parts] == [2, 0, 0]


@pytest.mark.parametrize("mode", MODES)
def test_a_burst_that_is_empty_or_too_long_is_not_sent(mode: Mode) -> None:
    writer = BurstWriter(mode, Layout(longest=20))
    for count in (0, 21):
        with pytest.raises(RadioError, match=rf"1 to 20 samples, got {count}"):
            writer.burst(0, np.zeros(count, np.complex64))


def test_a_gap_is_filled_with_zeros_and_counted() -> None:
    found = StreamReader("tagged", Layout(advance=0))
    tags = [Tag(0, "burst", 4), Tag(0, "packet_len", 10)]
    assert found.feed(encode_tagged(SOME[:3], tags, 0)) == []
    (burst,) = found.feed(encode_tagged(SOME[7:], [], 7))
    assert burst.samples.tolist() == [1, 2, 3, 0, 0, 0, 0, 8, 9, 10]
    assert burst.present.tolist() == [True] * 3 + [False] * 4 + [True] * 3
    assert burst.missing == 4
    assert found.faults == {"gap": 4}


@pytest.mark.parametrize("gap", [10**6, 2**62])
def test_an_offset_far_ahead_takes_no_memory_and_ends_what_was_open(gap: int) -> None:
    found = StreamReader("tagged", Layout(advance=0))
    found.feed(encode_tagged(SOME[:3], [Tag(0, "burst", 4), Tag(0, "packet_len", 10)], 0))
    (burst,) = found.feed(encode_tagged(SOME, [], gap))
    assert burst.missing == 7
    (after,) = found.feed(encode_tagged(SOME, [Tag(gap + 10, "burst", 5), Tag(gap + 10, "packet_len", 10)], gap + 10))
    assert (after.number, after.missing) == (5, 0)


def test_a_count_that_begins_anew_is_a_new_stream() -> None:
    found = StreamReader("tagged", Layout(advance=0))
    found.feed(encode_tagged(SOME, [Tag(5, "burst", 1), Tag(5, "packet_len", 100)], 0))
    (burst,) = found.feed(encode_tagged(SOME, [Tag(0, "burst", 2), Tag(0, "packet_len", 10)], 0))
    assert burst.number == 2
    assert found.faults == {"restart": 1}


@pytest.mark.parametrize(
    "tags",
    [
        [Tag(0, "burst", 1)],  # no length
        [Tag(0, "burst", 1), Tag(1, "packet_len", 5)],  # a length elsewhere
        [Tag(0, "burst", -1), Tag(0, "packet_len", 5)],
        [Tag(0, "burst", True), Tag(0, "packet_len", 5)],
        [Tag(0, "burst", "1"), Tag(0, "packet_len", 5)],
        [Tag(0, "burst", 1), Tag(0, "packet_len", 0)],
        [Tag(0, "burst", 1), Tag(0, "packet_len", 2**40)],
        [Tag(0, "burst", 1), Tag(0, "packet_len", 5), Tag(0, "frame", "text")],
    ],
)
def test_a_tag_that_cannot_be_true_is_counted_and_not_followed(tags: list[Tag]) -> None:
    found = StreamReader("tagged", Layout(advance=0))
    assert found.feed(encode_tagged(SOME, tags)) == []
    assert found.faults["tag"]
    (burst,) = found.feed(encode_tagged(SOME, [Tag(10, "burst", 2), Tag(10, "packet_len", 10)], 10))
    assert burst.samples.tolist() == SOME.tolist()


def test_a_tag_outside_its_message_or_inside_another_burst_is_counted() -> None:
    found = StreamReader("tagged", Layout(advance=0))
    far = encode_tagged(SOME, [Tag(0, "burst", 1)])
    far = far[:19] + (999).to_bytes(8, "little") + far[27:]
    assert found.feed(far) == []
    assert found.faults == {"tag": 1}
    inside = [Tag(10, "burst", 2), Tag(10, "packet_len", 10), Tag(12, "burst", 3), Tag(12, "packet_len", 2)]
    (burst,) = found.feed(encode_tagged(SOME, inside, 10))
    assert burst.number == 2
    assert found.faults == {"tag": 2}


def test_a_burst_whose_tag_never_came_is_known_to_be_gone() -> None:
    layout = Layout(advance=0, flush=0)
    writer, found = BurstWriter("tagged", layout), reader("tagged", layout)
    place, _ = writer.burst(0, SOME)
    assert not found.gone(place)
    found.feed(encode_tagged(SOME))
    assert found.gone(place)


def test_a_burst_is_not_given_up_before_its_tag_could_have_come() -> None:
    layout = Layout(advance=3, flush=16)
    writer, found = BurstWriter("tagged", layout), reader("tagged", layout)
    (opening,) = writer.opening()
    place, (message,) = writer.burst(0, SOME[:1])
    samples, tags = stream_of("tagged", [opening, message])
    early = np.concatenate([samples[3:], np.zeros(3, np.complex64)])
    first, second = cut("tagged", early, tags, [place.start])
    found.feed(first)  # the sample is there, and its tag is not
    assert not found.gone(place)
    assert [burst.samples.tolist() for burst in found.feed(second)] == [[1]]


@pytest.mark.parametrize("mode", ["tagged", "pdu"])
def test_a_message_of_another_kind_is_counted_and_the_next_is_read(mode: Mode) -> None:
    layout = Layout(advance=0, flush=0)
    writer, found = BurstWriter(mode, layout), reader(mode, layout)
    for wrong in (b"", b"12345", encode_samples(SOME), encode_tagged(SOME)[:-3]):
        assert found.feed(wrong) == []
    assert found.faults["message"] == 4
    _, (message,) = writer.burst(3, SOME)
    assert [burst.number for burst in found.feed(message)] == [3]


def test_a_raw_stream_of_odd_bytes_cannot_be_aligned_again() -> None:
    with pytest.raises(RadioError, match="no multiple of 8"):
        reader("raw", Layout()).feed(bytes(12))


def test_a_pdu_of_bytes_or_too_long_is_no_burst() -> None:
    found = reader("pdu", Layout(advance=0, longest=5))
    for wrong in (Pdu(np.zeros(3, np.uint8), {"burst": 1}), Pdu(SOME, {"burst": 1}), Pdu(SOME[:0], {"burst": 1})):
        assert found.feed(encode_pdu(wrong)) == []
    assert found.faults == {"tag": 3}


@given(st.lists(st.binary(max_size=100), max_size=5), st.sampled_from(MODES))
def test_random_messages_never_raise_anything_but_radio_error(messages: list[bytes], mode: Mode) -> None:
    found = reader(mode, Layout(longest=50), every=3)
    for message in messages:
        with suppress(RadioError):
            found.feed(message)


tags = st.builds(
    Tag, st.integers(0, 40), st.sampled_from(["burst", "packet_len", "frame", "end", "other"]),
    st.integers(-5, 60) | st.booleans() | st.none() | st.text(max_size=3),
)  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60), st.lists(tags, max_size=6)), max_size=8))
def test_whatever_tags_say_no_more_is_kept_than_the_longest_burst_takes(told: list) -> None:
    layout = Layout(advance=3, longest=50)
    found = StreamReader("tagged", layout)
    for size, offset, some in told:
        mine = [Tag(offset + tag.offset % size, tag.key, tag.value) for tag in some if size]
        for burst in found.feed(encode_tagged(np.ones(size, np.complex64), mine, offset)):
            assert burst.samples.size <= 50
            assert burst.samples.size == burst.present.size
    kept = sum(samples.size for _, samples in found._kept)
    assert kept <= layout.longest + 2 * 30 + layout.advance


def test_a_raw_stream_is_cut_evenly() -> None:
    found = reader("raw", Layout(advance=3), every=4)
    got = [burst for part in (SOME[:3], SOME[3:9], SOME[9:]) for burst in found.feed(encode_samples(part))]
    assert [burst.samples.tolist() for burst in got] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert [burst.number for burst in got] == [0, 1]

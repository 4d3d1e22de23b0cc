"""Both ends of the QAM transmission, and its header."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from codec_fixtures import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from radio import needs_radio

from semstream.codec.coder import Coded, FeatureCoder
from semstream.codec.header import MAX_WIDTH, FrameHeader
from semstream.codec.profile import Profile
from semstream.codec.qam_design import designed
from semstream.codec.qam_format import QamFormat
from semstream.codec.qam_link import QamLink, Received
from semstream.codec.side_information import SideInformationError
from semstream.phy.channel import Reception, apply
from semstream.phy.errors import PhyError
from semstream.phy.random import generator
from semstream.quantize.packing import PackingError

SIZE = (32, 48)
SHAPE = (8, 12, TINY.channels)


@pytest.fixture(scope="module")
def coder(profile: Profile) -> FeatureCoder:
    return FeatureCoder(profile)


@pytest.fixture(scope="module")
def link(coder: FeatureCoder) -> QamLink:
    return QamLink(coder, 4)


def features(profile: Profile, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed).standard_normal(SHAPE)
    return (random * np.sqrt(profile.variance)).astype(np.float32)


def coded(coder: FeatureCoder, bits: float = 3.0, **options: object) -> Coded:
    return coder.quantize(features(coder.profile), size=SIZE, scale=1.5, mean_bits=bits, **options)  # type: ignore[arg-type]


def over(symbols: np.ndarray, snr_db: float, seq: int = 0, kind: str = "awgn") -> Reception:
    return apply(symbols, kind, snr_db, generator(0, "air", seq))


def received(link: QamLink, reception: Reception, **options: object) -> Received:
    (got,) = link.receive([reception], **options)  # type: ignore[arg-type]
    assert got is not None
    return got


headers = st.builds(
    FrameHeader,
    seq=st.integers(0, 2**16 - 1),
    size=st.sampled_from([(2**16, 341), (341, 2**16), (4729, 4729)]) | st.tuples(*[st.integers(1, 4729)] * 2),
    scale=st.floats(0.015625, 1000, width=16),
    gain=st.floats(0.015625, 1000, width=16),
    scheme=st.sampled_from(["uniform", "fixed", "optimal"]),
    quantizer=st.sampled_from(["lloyd_max", "fixed_point"]),
    label=st.sampled_from(["natural", "gray"]),
    order=st.sampled_from([4, 16, 64, 256]),
    coded=st.booleans(),
    protection=st.sampled_from(["code", "power"]),
    spread_db=st.integers(0, 31).map(lambda n: n / 4),
    layers=st.integers(1, 8),
    symbols=st.integers(0, 2**20 - 1),
    class_map=st.booleans(),
    widths=st.lists(st.integers(0, MAX_WIDTH), min_size=32, max_size=32).map(tuple),
)


@settings(deadline=None)
@given(header=headers, order=st.permutations(range(32)), padding=st.integers(0, 40))
def test_a_header_reads_back_as_it_was_written(header: FrameHeader, order: list[int], padding: int) -> None:
    bits = np.pad(header.to_bits(order), (0, padding))
    assert FrameHeader.from_bits(bits, order) == header
    assert FrameHeader.from_bits(bits, order).to_bits(order).tolist() == header.to_bits(order).tolist()


@pytest.mark.parametrize("size", [(2**16 + 1, 1), (4730, 4730), (1, 2**31), (2**31 + 5, 2**31)])
def test_a_header_of_a_picture_too_large_for_memory_is_refused(size: tuple[int, int]) -> None:
    good = FrameHeader(
        3, (96, 128), 1.5, 0.75, "optimal", "lloyd_max", "gray", 16, True, "equal", 0.0, 1, 9, False, (4, 4)
    )
    bits = good.to_bits(range(2)).tolist()
    kept = bits[16 + 2 * 5 + 6 + 7 :]  # behind the number and both sides
    sides = []
    for side in size:
        sides += [int(c) for c in f"{side.bit_length() - 1:05b}{side:b}"]
        del sides[-side.bit_length()]  # the leading one is not sent
    assert FrameHeader.from_bits(np.array(bits, np.uint8), range(2)) == good
    with pytest.raises(SideInformationError, match="pixels"):
        FrameHeader.from_bits(np.array(bits[:16] + sides + kept, np.uint8), range(2))


@settings(deadline=None, max_examples=300)
@given(bits=st.lists(st.integers(0, 1), max_size=250))
def test_any_other_bits_are_a_header_or_refused(bits: list[int]) -> None:
    try:
        header = FrameHeader.from_bits(np.array(bits, np.uint8), range(8))
    except SideInformationError:
        return
    assert all(0 <= width <= MAX_WIDTH for width in header.widths)


FORMATS = [
    QamFormat(order=4),
    QamFormat(order=16, code_rate=1.0),
    QamFormat(order=16, code_rate=1.0, label="natural"),
    QamFormat(order=16, code_rate=1.0, protection="power", spread_db=2.0, layers=3),
    QamFormat(order=64, code_rate=0.8),
    QamFormat(order=16, protection="code", spread_db=1.0, layers=3),
    QamFormat(order=16, code_rate=0.5, protection="power"),
    QamFormat(order=256, channel_uses=1500, protection="code"),
    QamFormat(order=4, header_rate=0.5, power=4.0),
]


@needs_radio
@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_without_noise_the_levels_come_back_whatever_the_format(
    coder: FeatureCoder, link: QamLink, form: QamFormat
) -> None:
    frame = coded(coder)
    sent = link.transmit(frame.payload, frame.side, 70_000, form)
    got = received(link, over(sent.symbols, np.inf), header_rate=form.header_rate)
    assert got.header.seq == 70_000 % 2**16
    assert (got.side.shape, got.side.size, got.side.scale, got.side.bits) == (SHAPE, SIZE, 1.5, frame.side.bits)
    assert got.side.payload_bits == frame.side.payload_bits
    assert got.failed == 0
    prior = coder.profile.variance
    estimate = got.features * prior / (prior + got.noise_variance)
    levels = coder.profile.quantizers["lloyd_max"].dequantize(
        coder.profile.quantizers["lloyd_max"].quantize(features(coder.profile), np.array(frame.side.bits, np.uint8)),
        np.array(frame.side.bits, np.uint8),
    )
    np.testing.assert_allclose(estimate, levels, atol=0.02 * float(np.sqrt(prior.max())))


@needs_radio
@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_power_and_channel_uses_are_what_was_asked_for(coder: FeatureCoder, link: QamLink, form: QamFormat) -> None:
    frame = coded(coder)
    sent = link.transmit(frame.payload, frame.side, 0, form)
    assert np.mean(np.abs(sent.symbols) ** 2) == pytest.approx(form.power, rel=0.1)
    width = form.order.bit_length() - 1
    body = sent.symbols.size - sent.header_symbols
    if form.channel_uses:
        assert sent.symbols.size <= form.channel_uses
        assert sent.symbols.size > form.channel_uses - 20 or form.order == 256
    else:
        assert body == pytest.approx(frame.side.payload_bits / form.code_rate / width, abs=2 * form.layers + 2)


@needs_radio
def test_fewer_bits_are_fewer_channel_uses(coder: FeatureCoder, link: QamLink) -> None:
    uses = []
    for bits in (1, 2, 3, 4):
        frame = coded(coder, bits)
        uses.append(link.transmit(frame.payload, frame.side, 0, QamFormat()).symbols.size)
    assert uses == sorted(uses)
    assert uses[3] - uses[0] == pytest.approx(3 * np.prod(SHAPE) / 2, rel=0.05)


@needs_radio
def test_a_map_of_classes_goes_over_the_air_too(coder: FeatureCoder, link: QamLink) -> None:
    classes = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    frame = coded(coder, 5.0, class_map=classes, scheme="fixed")
    sent = link.transmit(frame.payload, frame.side, 3, QamFormat(), frame.class_map)
    got = received(link, over(sent.symbols, 12.0))
    assert got.side.class_map
    assert got.side.bits == frame.side.bits
    assert sent.header_bits > 1.58 * np.prod(SHAPE)
    assert got.side.payload_bits == frame.side.payload_bits
    error = np.mean((got.features - features(coder.profile)) ** 2)
    assert error < 0.1 * np.mean(features(coder.profile) ** 2)


@needs_radio
def test_frames_decoded_together_are_those_decoded_alone(coder: FeatureCoder, link: QamLink) -> None:
    form = QamFormat(order=16, code_rate=0.6)
    receptions = []
    for seq in range(4):
        frame = coder.quantize(features(coder.profile, seq), size=SIZE, scale=1.0, mean_bits=2 + seq % 2)
        receptions.append(over(link.transmit(frame.payload, frame.side, seq, form).symbols, 7.5, seq))
    receptions[2] = Reception(receptions[2].received * 0, receptions[2].csi, receptions[2].noise_variance)
    together = link.receive(receptions)
    assert together[2] is None
    for reception, got in zip(receptions, together, strict=True):
        (alone,) = link.receive([reception])
        assert (alone is None) == (got is None)
        if alone is not None and got is not None:
            assert np.array_equal(alone.features, got.features)


@needs_radio
@pytest.mark.parametrize("kind", ["rayleigh", "rician", "composite"])
def test_it_crosses_fading_channels(coder: FeatureCoder, link: QamLink, kind: str) -> None:
    frame = coded(coder)
    sent = link.transmit(frame.payload, frame.side, 0, QamFormat(order=4, code_rate=0.5))
    got = received(link, over(sent.symbols, 12.0, 5, kind))
    assert got.failed == 0


@needs_radio
def test_more_for_significant_bits_loses_less_below_the_threshold(coder: FeatureCoder, link: QamLink) -> None:
    frame = coded(coder, 4.0)
    original = features(coder.profile)
    prior = coder.profile.variance
    weight = coder.profile.contribution["sensitivity"]
    error = {}
    for protection in ("equal", "code"):
        form = QamFormat(order=16, code_rate=0.6, protection=protection, spread_db=3.0, layers=3)
        sent = link.transmit(frame.payload, frame.side, 0, form)
        got = received(link, over(sent.symbols, 5.0))
        assert got.failed
        wiener = got.features * prior / (prior + got.noise_variance)
        error[protection] = float(np.mean((wiener - original) ** 2 @ weight))
    assert error["code"] < 0.6 * error["equal"]


@needs_radio
def test_a_budget_fills_the_channel_uses_and_no_more(coder: FeatureCoder, link: QamLink) -> None:
    for form in (QamFormat(4, 0.5, 900), QamFormat(16, 1.0, 900), QamFormat(16, 0.7, 900, "code")):
        bits = link.budget(SIZE, form)
        frame = coded(coder, bits)
        uses = link.transmit(frame.payload, frame.side, 0, form).symbols.size
        assert 900 - 96 <= uses <= 900
    with pytest.raises(PhyError, match="channel_uses"):
        link.budget(SIZE, QamFormat(channel_uses=200))


@needs_radio
def test_what_cannot_be_sent_is_refused_in_words(coder: FeatureCoder, link: QamLink) -> None:
    frame = coded(coder)
    with pytest.raises(PhyError, match=r"code rate: expected 0\.2 to 0\.95"):
        link.transmit(frame.payload, frame.side, 0, QamFormat(code_rate=0.97))
    with pytest.raises(PhyError, match="4, 16, 64, 256"):
        link.transmit(frame.payload, frame.side, 0, QamFormat(order=32))
    with pytest.raises(PhyError, match="do not fit"):
        link.transmit(frame.payload, frame.side, 0, QamFormat(channel_uses=400))
    with pytest.raises(PhyError, match="header alone"):
        link.transmit(frame.payload, frame.side, 0, QamFormat(channel_uses=40))
    with pytest.raises(PhyError, match="protection 'code'"):
        link.transmit(frame.payload, frame.side, 0, QamFormat(code_rate=1, protection="code"))
    plain = coded(coder, scheme="none")
    with pytest.raises(PhyError, match="unquantized"):
        link.transmit(plain.payload, plain.side, 0, QamFormat())
    with pytest.raises(PackingError, match="one frame"):
        link.transmit(coded(coder, 2.0).payload, frame.side, 0, QamFormat())
    with pytest.raises(SideInformationError, match="shape"):
        link.transmit(frame.payload, replace(frame.side, size=(99, 99)), 0, QamFormat())


@needs_radio
def test_symbols_cut_short_or_none_at_all_are_a_lost_header(coder: FeatureCoder, link: QamLink) -> None:
    frame = coded(coder)
    sent = link.transmit(frame.payload, frame.side, 0, QamFormat()).symbols
    for count in (0, 5, 100, sent.size - 1):
        assert link.receive([over(sent[:count], 20.0)]) == [None]


@needs_radio
def test_symbols_that_are_no_numbers_are_symbols_of_which_nothing_is_known(coder: FeatureCoder, link: QamLink) -> None:
    frame = coded(coder)
    clean = over(link.transmit(frame.payload, frame.side, 0, QamFormat(code_rate=0.4)).symbols, 15.0)
    holes = clean.received.copy()
    holes[5::40] = np.nan
    holes[7::40] = np.inf
    got = received(link, Reception(holes, clean.csi, clean.noise_variance))
    assert got.failed == 0
    assert np.array_equal(got.features, received(link, clean).features)
    assert link.receive([Reception(holes * np.nan, clean.csi, clean.noise_variance)]) == [None]


def test_formats_are_designed_for_an_snr() -> None:
    assert [designed("uncoded", snr, 900).order for snr in (0, 7, 13, 20, 30)] == [4, 4, 16, 64, 256]
    for kind in ("ldpc", "unequal"):
        formats = [designed(kind, snr, 900) for snr in (-3, 1, 4, 7, 10, 13, 20, math.inf)]
        carried = [form.code_rate * np.log2(form.order) for form in formats]
        assert carried == sorted(carried)
        assert all(form.channel_uses == 900 and 0.2 <= form.code_rate <= 0.9 for form in formats)
    assert designed("unequal", 7, 900, spread_db=2).layers == 3
    assert designed("ldpc", 7, 900).protection == "equal"
    assert designed("power", 7, 900).code_rate == 1
    assert designed("ldpc", 7, 900, label="natural").label == "natural"
    with pytest.raises(PhyError, match="uncoded, power, unequal, ldpc"):
        designed("turbo", 7, 900)

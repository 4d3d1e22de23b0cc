"""IqSink and IqSource: two programs with samples between them, a GNU Radio in the middle where there is one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from codec_fixtures import smooth_pictures
from radio_fixtures import StandIn, free_endpoint, symbol_frames

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    GnuRadioChannel,
    IqSink,
    IqSource,
    NonUniformQuantizer,
    PowerNormalizer,
    SwinDecoder,
    SwinEncoder,
)
from semstream.radio.bursts import BurstWriter, Layout
from semstream.radio.messages import encode_samples
from semstream.radio.process import PROGRAM, SYSTEM_PYTHON
from semstream.runtime import Block, BlockError, Frame
from semstream.runtime.frames import wire
from semstream.testing import harness_of, run_block, run_source


def received(block: IqSource, give: Any) -> tuple[list[Frame], dict[str, Any]]:
    """What a source gives while something is sent to it."""
    sender = threading.Thread(target=give)
    sender.start()
    try:
        got = run_source(block)
    finally:
        sender.join(60)
    return got, harness_of(block).records[0]


def ends(endpoint: str, **settings: Any) -> tuple[IqSink, IqSource]:
    sink = IqSink(endpoint=endpoint, **{"advance": 0} | settings)
    return sink, IqSource(endpoint=endpoint, snr_db=20, **{"advance": 0, "patience": 5.0} | settings)


@pytest.mark.parametrize("mode", ["tagged", "pdu"])
@pytest.mark.parametrize("csi", ["known", "pilots", "preamble"])
def test_frames_come_through_a_socket_with_what_the_receiver_must_know(mode: str, csi: str) -> None:
    sink, source = ends(free_endpoint(), mode=mode, csi=csi)
    sent = symbol_frames(6, picture="a")
    for frame in sent:
        frame.t0_ns = 10**18 + frame.seq
        frame.arrays["class_map"] = np.arange(frame.seq + 1, dtype=np.uint8)
    got, record = received(source, lambda: run_block(sink, sent))
    assert [frame.seq for frame in got] == list(range(6))
    for a, b in zip(sent, got, strict=True):
        assert np.allclose(a["symbols"], b["received"] / b["csi"], atol=2e-3)
        assert np.array_equal(a["class_map"], b["class_map"])
        assert (b.tags["picture"], b.t0_ns) == ("a", a.t0_ns)
        assert (b.tags["snr_db"], b.tags["missing_samples"]) == (20, 0)
    assert record == {"bursts": 6, "lost": 0, "missing_samples": 0, "not_finite": 0, "clipped": 0, "faults": {}}
    assert harness_of(sink).records[0]["bursts"] == 6


def test_a_raw_stream_of_any_source_is_cut_evenly() -> None:
    endpoint = free_endpoint()
    samples = symbol_frames(1, 1000)[0]["symbols"]

    def give() -> None:
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.bind(endpoint)
            for part in np.split(samples, [7, 300, 999]):
                push.send(encode_samples(part))
            push.close(5000)

    got, record = received(IqSource(endpoint=endpoint, mode="raw", burst=250, frames=4), give)
    assert np.array_equal(np.concatenate([frame["received"] for frame in got]), samples)
    assert [frame["received"].size for frame in got] == [250] * 4
    assert record["bursts"] == 4


def give_messages(endpoint: str, messages: list[bytes]) -> Any:
    def give() -> None:
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.bind(endpoint)
            for message in messages:
                push.send(message)
            push.close(5000)

    return give


def bursts(numbers: list[int], header: bytes = b"") -> list[bytes]:
    writer = BurstWriter("tagged", Layout(advance=0, flush=4))
    messages = [m for n in numbers for m in writer.burst(n, np.full(10, n, np.complex64), header)[1]]
    return messages + writer.ending()


def test_bursts_that_are_missing_are_counted_and_their_numbers_kept() -> None:
    endpoint = free_endpoint()
    source = IqSource(endpoint=endpoint, advance=0)
    got, record = received(source, give_messages(endpoint, bursts([0, 1, 4, 5])))
    assert [frame.seq for frame in got] == [0, 1, 4, 5]
    assert harness_of(source).skips == ["lost_burst"] * 2
    assert record["lost"] == 2


def test_numbers_that_lie_are_not_taken_for_loss() -> None:
    endpoint = free_endpoint()
    got, record = received(IqSource(endpoint=endpoint, advance=0), give_messages(endpoint, bursts([0, 2**60, 1, 0, 2])))
    assert [frame.seq for frame in got] == [0, 1, 2]
    assert (record["lost"], record["faults"]) == (0, {"number": 2})


@pytest.mark.parametrize(
    "header",
    [
        b"\xc1",
        wire.pack([1]),
        wire.pack({"tags": 5}),
        wire.pack({"count": "many"}),
        wire.pack({"count": 11}),
        wire.pack({"count": 0}),
        wire.pack({"class_map": "x"}),
    ],
)
def test_what_comes_along_and_cannot_be_true_costs_its_burst_alone(header: bytes) -> None:
    endpoint = free_endpoint()
    source = IqSource(endpoint=endpoint, advance=0)
    got, record = received(source, give_messages(endpoint, bursts([0, 1], header)))
    assert got == []
    assert harness_of(source).skips == ["side_information"] * 2
    assert record["faults"] == {"frame": 2}


def test_a_source_without_a_sender_says_what_to_start() -> None:
    with pytest.raises(
        BlockError, match=r"no burst from tcp://.* within 0\.2 s \(nothing came\); is GNU Radio running"
    ):
        run_source(IqSource(endpoint=free_endpoint(), patience=0.2))


def test_a_source_of_another_mode_says_what_came() -> None:
    endpoint = free_endpoint()
    with pytest.raises(BlockError, match=r"no burst .*\(message: 3\).*is mode right"):
        received(IqSource(endpoint=endpoint, patience=0.5), give_messages(endpoint, [bytes(80)] * 3))


def test_a_raw_source_of_odd_bytes_ends_with_one_message() -> None:
    endpoint = free_endpoint()
    with pytest.raises(BlockError, match=r"iq_source.*12 bytes.*no multiple of 8"):
        received(IqSource(endpoint=endpoint, mode="raw"), give_messages(endpoint, [bytes(12)]))


def test_a_stream_that_stops_is_taken_for_its_end() -> None:
    endpoint = free_endpoint()
    got, _ = received(
        IqSource(endpoint=endpoint, advance=0, patience=0.5), give_messages(endpoint, bursts([0, 1])[:-2])
    )
    assert [frame.seq for frame in got] == [0, 1]


def test_a_sink_that_nobody_hears_says_so() -> None:
    sink = IqSink(endpoint=free_endpoint(), timeout=0.2)
    with pytest.raises(BlockError, match=r"nobody has taken samples at tcp://.*for 0\.2 s"):
        run_block(sink, symbol_frames(1))


def test_a_sink_leaves_out_what_is_no_number_and_what_is_empty(stand_in: StandIn) -> None:
    stand_in.answer(lambda message: [])
    frames = symbol_frames(3)
    frames[1].arrays["symbols"] = np.full(5, np.nan, np.complex64)
    frames[2].arrays["symbols"] = np.zeros(0, np.complex64)
    sink = IqSink(endpoint=stand_in.send)
    run_block(sink, frames)
    assert harness_of(sink).skips == ["not_finite", "no_symbols"]


@pytest.mark.parametrize("block", [IqSink, IqSource])
def test_an_endpoint_that_cannot_be_is_named(block: type[Block]) -> None:
    with pytest.raises(BlockError, match=r"'endpoint': endpoint 'udp:nowhere'"):
        block(endpoint="udp:nowhere").start()


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:*", "tcp://*:*", "tcp://192.0.2.1:5555"])
def test_an_endpoint_that_other_hosts_reach_is_bound_only_if_asked_for(endpoint: str) -> None:
    for block in (IqSink(endpoint=endpoint), IqSource(endpoint=endpoint, bind=True)):
        with pytest.raises(BlockError, match=r"'endpoint': .*other hosts would reach it.*allow_remote=True"):
            block.start()
    with pytest.raises(BlockError, match="other hosts"):
        GnuRadioChannel(send=endpoint, receive=free_endpoint()).start()
    if "192" not in endpoint:
        asked = IqSink(endpoint=endpoint, allow_remote=True)
        asked.start()
        asked.stop()
    for local in ("tcp://127.0.0.1:*", "tcp://localhost:*", "ipc://@semstream-test"):
        sink = IqSink(endpoint=local)
        sink.start()
        sink.stop()


# -- against GNU Radio itself ---------------------------------------------------------------------------------------


@pytest.fixture
def by_hand(gnuradio: None) -> Iterator[Any]:
    """Starts a program under GNU Radio's Python, as a user does by hand."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: Path, *arguments: str) -> tuple[str, str]:
        receive, send = free_endpoint(), free_endpoint()
        command = [SYSTEM_PYTHON, str(program), "--receive", receive, "--send", send, *arguments]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))
        return receive, send

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


@pytest.mark.gnuradio
@pytest.mark.parametrize("mode", ["tagged", "pdu"])
def test_the_pictures_come_through_gnu_radio_from_one_program_to_another(
    by_hand: Any, mode: str, weights: Path
) -> None:
    receive, send = by_hand(PROGRAM, "--mode", mode, "--noise-voltage", "0.1")
    w, frames = str(weights), [Frame({"image": picture}) for picture in smooth_pictures(5)]
    for block in (
        SwinEncoder(weights=w),
        ContributionClassifier(weights=w),
        NonUniformQuantizer(weights=w, bits=5),
        PowerNormalizer(weights=w),
    ):
        frames = run_block(block, frames)
    sink = IqSink(endpoint=receive, mode=mode)
    got, record = received(IqSource(endpoint=send, mode=mode, snr_db=20, patience=20), lambda: run_block(sink, frames))
    assert (record["bursts"], record["faults"]) == (5, {})
    through_radio = run_block(SwinDecoder(weights=w), run_block(Dequantizer(weights=w), got))
    ours = FadingChannel(snr_db=20)
    beside = run_block(SwinDecoder(weights=w), run_block(Dequantizer(weights=w), run_block(ours, frames)))
    quality = [
        np.mean([np.mean((a["image"].astype(float) - p) ** 2) for a, p in zip(side, smooth_pictures(5), strict=True)])
        for side in (through_radio, beside)
    ]
    assert 10 * np.log10(quality[0] / quality[1]) == pytest.approx(0, abs=0.5)


@pytest.mark.gnuradio
def test_the_flowgraph_for_gnu_radio_companion_is_the_same_channel(by_hand: Any, tmp_path: Path) -> None:
    compiler = shutil.which("grcc")
    if compiler is None:
        pytest.skip("GNU Radio's compiler of .grc files, grcc, is not installed")
    told = subprocess.run(
        [compiler, "-o", str(tmp_path), str(PROGRAM.with_suffix(".grc"))],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    receive, send = by_hand(tmp_path / "semstream_channel.py", "--noise-voltage", "0.1")
    sent = symbol_frames(20, 4096)
    got = run_block(GnuRadioChannel(send=receive, receive=send, snr_db=20, timeout=20), sent)
    left = np.mean([np.mean(np.abs(a["symbols"] - b["received"]) ** 2) for a, b in zip(sent, got, strict=True)])
    assert left == pytest.approx(0.01, rel=0.05)


@pytest.mark.gnuradio
def test_gnu_radio_loses_nothing_of_a_thousand_bursts_sent_without_waiting(by_hand: Any) -> None:
    receive, send = by_hand(PROGRAM, "--noise-voltage", "0")
    sent = symbol_frames(1000, 333)
    sink = IqSink(endpoint=receive)
    source = IqSource(endpoint=send, snr_db=100, patience=20)
    begin = time.monotonic()
    got, record = received(source, lambda: run_block(sink, sent))
    assert time.monotonic() - begin < 60
    assert (record["bursts"], record["lost"], record["faults"]) == (1000, 0, {})
    assert all(np.array_equal(a["symbols"], b["received"]) for a, b in zip(sent, got, strict=True))


def test_nothing_of_this_needs_gnu_radio_to_be_imported() -> None:
    code = "import sys, blocks, semstream.radio.link; print('gnuradio' in sys.modules, 'pmt' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == ["False", "False"]

"""GnuRadioChannel against GNU Radio, where there is one, and against one that is not there, dies, stalls or lies."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radio_fixtures import StandIn, symbol_frames

from blocks import GnuRadioChannel
from semstream.phy import NOISE_CAP
from semstream.radio import channel as channel_module
from semstream.radio.messages import Tag, decode_samples, decode_tagged, encode_samples, encode_tagged
from semstream.runtime import Block, BlockError, Flowgraph, Frame, In, Out, SettingsError
from semstream.runtime.frames.types import ANY
from semstream.testing import Harness, harness_of, run_block


class AsGnuRadio:
    """Gives tagged messages back with offsets that count, as GNU Radio does; `change` may spoil each."""

    def __init__(self, change: Callable[[int, list[Tag], np.ndarray], Iterable[bytes]] | None = None) -> None:
        self.count = 0
        self.change = change

    def __call__(self, message: bytes) -> Iterable[bytes]:
        given, tags, samples = decode_tagged(message)
        offset = self.count
        self.count += samples.size
        tags = [Tag(tag.offset - given + offset, tag.key, tag.value) for tag in tags]
        return [encode_tagged(samples, tags, offset)] if self.change is None else self.change(offset, tags, samples)


def link(stand_in: StandIn, **settings: Any) -> GnuRadioChannel:
    usual = {"snr_db": math.inf, "advance": 0, "timeout": 5.0, "send": stand_in.send, "receive": stand_in.receive}
    return GnuRadioChannel(**usual | settings)


def through(block: GnuRadioChannel, frames: list[Frame]) -> tuple[list[Frame], dict[str, Any]]:
    got = run_block(block, frames)
    (record,) = harness_of(block).records
    return got, record


def is_exact(sent: Frame, got: Frame) -> bool:
    return np.array_equal(sent["symbols"], got["received"]) and bool((got["csi"] == 1).all())


def is_nothing(got: Frame) -> bool:
    return not got["received"].any() and not got["csi"].any() and bool((got["noise_variance"] == NOISE_CAP).all())


# -- against a stand-in, everywhere ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "answer"),
    [("raw", lambda message: [message]), ("tagged", AsGnuRadio()), ("pdu", lambda message: [message])],
)
def test_symbols_come_back_bit_for_bit(stand_in: StandIn, mode: str, answer: Any) -> None:
    stand_in.answer(answer)
    sent = symbol_frames(20, snr_db=5.0)
    got, record = through(link(stand_in, mode=mode), sent)
    assert all(is_exact(a, b) for a, b in zip(sent, got, strict=True))
    faultless = dict.fromkeys(("lost", "missing_samples", "not_finite", "clipped", "restarts"), 0)
    assert record == {"bursts": 20, "faults": {}} | faultless
    assert got[3].tags["snr_db"] == 5.0
    assert got[3].tags["channel_uses"] == 500 + 16
    assert got[3]["noise_variance"][0] == pytest.approx(10**-0.5)


def test_pilots_are_counted_as_channel_uses(stand_in: StandIn) -> None:
    stand_in.answer(AsGnuRadio())
    (got,), _ = through(link(stand_in, csi="pilots", pilot_spacing=10), symbol_frames(1))
    assert got.tags["channel_uses"] == 500 + 51 + 16
    assert np.abs(got["csi"] - 1).max() < 1e-5


def test_a_frame_without_symbols_takes_no_burst(stand_in: StandIn) -> None:
    (got,), record = through(link(stand_in), symbol_frames(1, 0))
    assert got["received"].size == 0
    assert record["bursts"] == 0


def test_a_length_that_is_no_multiple_of_8_ends_the_run_with_one_message(stand_in: StandIn) -> None:
    stand_in.answer(lambda message: [message + b"123"])
    with pytest.raises(BlockError, match=r"gnu_radio_channel.*no multiple of 8.*when_dead='go_on'"):
        run_block(link(stand_in, mode="raw"), symbol_frames(2))


def test_or_every_burst_is_lost_from_then_on_and_the_run_goes_on(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.answer(lambda message: [message + b"123"])
    got, record = through(link(stand_in, mode="raw", when_dead="go_on"), symbol_frames(5))
    assert len(got) == 5
    assert all(map(is_nothing, got))
    assert record["lost"] == 5
    assert len([r for r in caplog.records if "every burst is lost" in r.message]) == 1
    assert len(caplog.records) == 1


def test_a_message_without_its_header_of_tags_is_counted_and_the_others_are_taken(stand_in: StandIn) -> None:
    def spoil(offset: int, tags: list[Tag], samples: np.ndarray) -> list[bytes]:
        return [b"nonsense", encode_tagged(samples, tags, offset)]

    stand_in.answer(AsGnuRadio(spoil))
    sent = symbol_frames(5)
    got, record = through(link(stand_in), sent)
    assert all(is_exact(a, b) for a, b in zip(sent, got, strict=True))
    assert record["faults"] == {"message": 5}


@pytest.mark.parametrize(
    "lie",
    [
        lambda tag: Tag(tag.offset, tag.key, 10**9),
        lambda tag: Tag(tag.offset, tag.key, "x"),
        lambda tag: Tag(tag.offset, "other", tag.value),
        lambda tag: Tag(tag.offset + 3 if tag.key == "burst" else tag.offset, tag.key, tag.value),
    ],
)
def test_a_burst_whose_tags_lie_is_lost_at_once_and_the_next_is_not(stand_in: StandIn, lie: Any) -> None:
    def spoil(offset: int, tags: list[Tag], samples: np.ndarray) -> list[bytes]:
        told = {tag.key: tag.value for tag in tags}
        return [encode_tagged(samples, list(map(lie, tags)) if told.get("burst") == 1 else tags, offset)]

    stand_in.answer(AsGnuRadio(spoil))
    sent = symbol_frames(4)
    got, record = through(link(stand_in, timeout=60), sent)  # a wait would time the test out
    assert [is_nothing(frame) for frame in got] == [False, True, False, False]
    assert all(is_exact(sent[i], got[i]) for i in (0, 2, 3))
    assert record["lost"] == 1
    assert got[1].tags["missing_samples"] == 500


def test_samples_that_are_missing_are_zeros_of_which_nothing_is_known(stand_in: StandIn) -> None:
    def lose(offset: int, tags: list[Tag], samples: np.ndarray) -> list[bytes]:
        if not tags or tags[0].value != 1:
            return [encode_tagged(samples, tags, offset)]
        return [encode_tagged(samples[:100], tags, offset), encode_tagged(samples[150:], [], offset + 150)]

    stand_in.answer(AsGnuRadio(lose))
    sent = symbol_frames(3)
    got, record = through(link(stand_in), sent)
    assert (record["missing_samples"], record["lost"], record["faults"]) == (50, 0, {"gap": 50})
    assert np.flatnonzero(got[1]["csi"] == 0).tolist() == list(range(100, 150))
    assert not got[1]["received"][100:150].any()
    assert np.array_equal(got[1]["received"][150:], sent[1]["symbols"][150:])
    assert got[1].tags["missing_samples"] == 50
    assert is_exact(sent[2], got[2])


def test_samples_that_are_no_numbers_are_zeros_of_which_nothing_is_known(stand_in: StandIn) -> None:
    def spoil(offset: int, tags: list[Tag], samples: np.ndarray) -> list[bytes]:
        samples = samples.copy()
        samples[5:8] = [np.nan, np.inf, 1j * np.nan]
        return [encode_tagged(samples, tags, offset)]

    stand_in.answer(AsGnuRadio(spoil))
    got, record = through(link(stand_in), symbol_frames(3))
    assert record["not_finite"] == 9
    assert all(np.isfinite(frame["received"]).all() for frame in got)
    assert all((frame["csi"][5:8] == 0).all() and frame["csi"].sum() == 497 for frame in got)


def test_clipping_is_counted(stand_in: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    def clip(offset: int, tags: list[Tag], samples: np.ndarray) -> list[bytes]:
        parts = samples.view(np.float32).clip(-0.9, 0.9)
        return [encode_tagged(parts.view(np.complex64), tags, offset)]

    stand_in.answer(AsGnuRadio(clip))
    _, record = through(link(stand_in), symbol_frames(2))
    assert record["clipped"] > 100
    assert "clipped" in caplog.text


def test_one_that_never_answers_ends_the_run_after_three_bursts(stand_in: StandIn) -> None:
    stand_in.answer(lambda message: [])
    block = link(stand_in, timeout=0.2)
    with pytest.raises(BlockError, match=r"3 bursts in a row had no answer \(nothing came\).*tcp://") as caught:
        run_block(block, symbol_frames(9))
    assert stand_in.send in str(caught.value)
    assert stand_in.receive in str(caught.value)


@pytest.mark.parametrize(("policy", "frames", "skips"), [("zeros", 4, 0), ("skip", 3, 1)])
def test_a_burst_that_is_late_is_given_up_by_the_policy_and_not_taken_for_the_next(
    stand_in: StandIn, policy: str, frames: int, skips: int
) -> None:
    held: list[bytes] = []

    def delay(offset: int, tags: list[Tag], samples: np.ndarray) -> list[bytes]:
        message = encode_tagged(samples, tags, offset)
        if any(tag.key == "burst" and tag.value == 1 for tag in tags):
            held.append(message)
            return []
        return [*(held.pop() for _ in held[:]), message]

    stand_in.answer(AsGnuRadio(delay))
    sent = symbol_frames(4)
    block = link(stand_in, timeout=0.5, when_lost=policy)
    got, record = through(block, sent)
    assert len(got) == frames
    assert harness_of(block).skips == ["lost_burst"] * skips
    assert (record["lost"], record["faults"]) == (1, {"late": 1})
    assert is_exact(sent[3], got[-1])
    assert is_exact(sent[2], got[-2])


def test_or_ends_the_run(stand_in: StandIn) -> None:
    stand_in.answer(lambda message: [])
    with pytest.raises(BlockError, match=r"burst 0 did not come back.*within 0\.2 s \(nothing came\)"):
        run_block(link(stand_in, timeout=0.2, when_lost="end"), symbol_frames(1))


def test_a_raw_stream_that_stalls_is_still_aligned_when_it_goes_on(stand_in: StandIn) -> None:
    held: list[bytes] = []

    def stall(message: bytes) -> list[bytes]:
        held.append(message)
        if len(held) < 2:
            return []
        joined = b"".join(decode_samples(m).tobytes() for m in held)
        held.clear()
        return [joined]

    stand_in.answer(stall)
    sent = symbol_frames(4)
    got, record = through(link(stand_in, mode="raw", timeout=0.4, flush=0), sent)
    assert [is_nothing(frame) for frame in got] == [True, False, True, False]
    assert is_exact(sent[1], got[1])
    assert is_exact(sent[3], got[3])
    assert record["faults"] == {"late": 2}


def test_a_long_stall_queues_no_more_than_it_may(stand_in: StandIn) -> None:
    block = link(stand_in, timeout=0.001, when_dead="go_on", mode="raw")  # nobody takes a message at all
    frames = symbol_frames(300, 64)
    harness = Harness(block)
    for frame in frames:
        harness.give(frame)
        block._dead = ""  # type: ignore[attr-defined]  # as if each were the first to fail
    assert len(block._radio._exchange._outgoing) <= 80  # type: ignore[union-attr]
    harness.finish()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"python": "/no/such/python"}, "there is no /no/such/python; install it"),
        ({"python": sys.executable}, "no GNU Radio under .*apt-get install gnuradio"),
        ({"python": "/bin/false"}, "exit code 1"),
        ({"python": "/bin/echo"}, "exit code 0"),
        ({"send": "tcp://127.0.0.1:*"}, "give both endpoints, or none"),
        ({"send": "nonsense", "receive": "tcp://127.0.0.1:1"}, "'nonsense' to send to"),
        ({"taps": ["loud"]}, "'taps': .*'loud'"),
        ({"taps": ["0", "0"]}, "not all 0"),
        ({"csi": "pilots", "pilot_smoothing": 4}, "'csi': pilots"),
    ],
)
def test_a_gnu_radio_that_cannot_be_is_one_clear_message(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BlockError, match=words):
        run_block(GnuRadioChannel(**settings), symbol_frames(1))


def test_one_that_is_never_ready_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python3"
    script.write_text("#!/bin/sh\necho something is odd >&2\nexec cat\n")
    script.chmod(0o755)
    monkeypatch.setattr(channel_module, "START_S", 0.3)
    with pytest.raises(BlockError, match=r"has not answered within 0\.3 s; it said: something is odd"):
        run_block(GnuRadioChannel(python=str(script)), symbol_frames(1))


MORTAL = """
import argparse, json, os, sys
import zmq
parser = argparse.ArgumentParser()
for name in ("--receive", "--mode", "--report"):
    parser.add_argument(name)
told = parser.parse_known_args()[0]
context = zmq.Context()
pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
pull.connect(told.receive)
push.bind("tcp://127.0.0.1:*")
report = {"ready": push.getsockopt_string(zmq.LAST_ENDPOINT), "settle": 0}
os.write(int(told.report), json.dumps(report).encode() + bytes([10]))
for _ in range(3):
    push.send(pull.recv())
pull.recv()
context.destroy(linger=2000)
sys.exit("out of memory")
"""


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a block whose own GNU Radio gives three bursts back and dies of the fourth."""
    program = tmp_path / "mortal.py"
    program.write_text(MORTAL)
    monkeypatch.setattr("semstream.radio.process.PROGRAM", program)
    return {"python": sys.executable, "mode": "raw", "channel": "none", "flush": 0, "timeout": 20.0}


def test_a_gnu_radio_that_dies_is_started_again_and_only_its_burst_is_lost(mortal: dict[str, Any]) -> None:
    sent = symbol_frames(11)
    got, record = through(GnuRadioChannel(**mortal, restart="on_failure"), sent)
    assert [is_nothing(frame) for frame in got] == [i in (3, 7) for i in range(11)]
    assert all(is_exact(a, b) for i, (a, b) in enumerate(zip(sent, got, strict=True)) if i not in (3, 7))
    assert (record["restarts"], record["lost"], record["bursts"]) == (2, 2, 11)


@pytest.mark.parametrize(("restart", "after"), [("never", 3), ("on_failure", 7)])
def test_when_no_restart_is_left_the_run_ends_and_says_how_many_there_were(
    mortal: dict[str, Any], restart: str, after: int
) -> None:
    block = GnuRadioChannel(**mortal, restart=restart, most_restarts=1)
    with pytest.raises(BlockError, match="out of memory" + (", after 1 restarts" if after > 3 else "")):
        run_block(block, symbol_frames(20))
    assert len(harness_of(block).outputs["received"]) == after
    assert harness_of(block).records[-1]["restarts"] == (after > 3)


def test_a_burst_longer_than_allowed_names_the_setting(stand_in: StandIn) -> None:
    with pytest.raises(BlockError, match=r"'longest': burst 0 has 500 samples, not 100"):
        run_block(link(stand_in, longest=100), symbol_frames(1))


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"mode": "udp"}, {"doppler": 0}, {"timeout": 0}, {"when_lost": "hope"}, {"taps": []}):
        with pytest.raises(SettingsError):
            GnuRadioChannel(**wrong)


# -- against GNU Radio itself ---------------------------------------------------------------------------------------


@pytest.mark.gnuradio
@pytest.mark.parametrize("mode", ["raw", "tagged", "pdu"])
def test_gnu_radio_gives_bursts_back_bit_for_bit(gnuradio: None, mode: str) -> None:
    sent = [frame for n in range(40) for frame in symbol_frames(5, 1 + 977 * n % 9000, n)]
    for seq, frame in enumerate(sent):
        frame.seq = seq
    for settings in ({"channel": "none"}, {"channel": "awgn", "snr_db": math.inf}):  # without and with its advance
        got, record = through(GnuRadioChannel(mode=mode, **settings), sent)
        assert all(is_exact(a, b) for a, b in zip(sent, got, strict=True))
        assert (record["bursts"], record["lost"], record["faults"]) == (200, 0, {})


@pytest.mark.gnuradio
@pytest.mark.parametrize("mode", ["raw", "tagged", "pdu"])
def test_gnu_radios_noise_is_as_loud_as_each_frames_snr_says(gnuradio: None, mode: str) -> None:
    sent = symbol_frames(24, 4096)
    for frame in sent:
        frame.tags = {"snr_db": [0.0, 20.0, math.inf][frame.seq // 2 % 3]}
    got, _ = through(GnuRadioChannel(mode=mode), sent)
    for snr_db in (0.0, 20.0, math.inf):
        pairs = [(a, b) for a, b in zip(sent, got, strict=True) if a.tags["snr_db"] == snr_db]
        power = np.mean([np.mean(np.abs(a["symbols"] - b["received"]) ** 2) for a, b in pairs])
        assert power == pytest.approx(10 ** (-snr_db / 10), rel=0.03)
        assert all((b["noise_variance"] == np.float32(10 ** (-snr_db / 10))).all() for _, b in pairs)


@pytest.mark.gnuradio
@pytest.mark.parametrize(
    "settings",
    [
        {"frequency_offset": 0.01},
        {"channel": "rician", "mode": "pdu"},
        {"channel": "rayleigh", "frequency_offset": -1e-3},
    ],
    ids=["offset", "rician", "rayleigh"],
)
def test_pilots_find_gnu_radios_fading_and_frequency_offset(gnuradio: None, settings: dict[str, Any]) -> None:
    sent = symbol_frames(20, 9000)
    got, _ = through(GnuRadioChannel(snr_db=10, **settings), sent)
    left = np.mean(
        [np.mean(np.abs(b["received"] - b["csi"] * a["symbols"]) ** 2) for a, b in zip(sent, got, strict=True)]
    )
    assert left < 0.1 * 1.15
    assert np.mean([b["noise_variance"].mean() for b in got]) == pytest.approx(left, rel=0.2)


@pytest.mark.gnuradio
def test_a_preamble_finds_gnu_radios_multipath(gnuradio: None) -> None:
    sent = symbol_frames(20, 4096)
    got, _ = through(GnuRadioChannel(snr_db=20, channel="multipath"), sent)
    left = np.mean([np.mean(np.abs(b["received"] - a["symbols"]) ** 2) for a, b in zip(sent, got, strict=True)])
    assert left < 0.03
    assert got[0]["noise_variance"][0] == pytest.approx(left, rel=0.2)


@pytest.mark.gnuradio
def test_the_same_seed_gives_the_same_samples(gnuradio: None) -> None:
    def run(seed: int) -> list[np.ndarray]:
        sent = symbol_frames(4)
        for frame in sent:
            frame.tags = {"snr_db": float(frame.seq)}
        return [frame["received"] for frame in run_block(GnuRadioChannel(channel="rician"), sent, seed)]

    first, again, other = run(1), run(1), run(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def children(program: str) -> list[int]:
    """Processes of this one's that run a program."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (
                program.encode() in (path / "cmdline").read_bytes()
                and f"PPid:\t{os.getpid()}\n" in (path / "status").read_text()
            ):
                found.append(int(path.name))
        except OSError:
            continue
    return found


class Symbols(Block):
    """Symbols without end."""

    from blocks.ports import Symbols as _Symbols

    out = Out(_Symbols)

    def frames(self) -> Any:
        while True:
            yield from symbol_frames(1)


class Count(Block):
    """Counts what comes."""

    frame = In(ANY)

    def start(self) -> None:
        self.count = 0

    def process(self, frame: Frame) -> None:
        self.count += 1
        if self.count in (20, 200):
            self.publish({"count": self.count, "nothing": is_nothing(frame)})


@pytest.mark.gnuradio
@pytest.mark.parametrize("when_dead", ["end", "go_on"])
def test_a_gnu_radio_that_is_killed_ends_the_run_or_not_and_leaves_no_process(gnuradio: None, when_dead: str) -> None:
    graph = Flowgraph("killed")
    graph.connect(Symbols(), GnuRadioChannel(when_dead=when_dead), Count())
    going, later = threading.Event(), threading.Event()

    def note(block: str, record: dict[str, Any]) -> None:
        (later if record.get("count") == 200 else going).set()

    run = graph.start(on_record=note)
    assert going.wait(60)
    (pid,) = children("companion/channel.py")
    os.kill(pid, signal.SIGKILL)
    if when_dead == "go_on":
        assert later.wait(60)
        run.stop()
        run.wait(60)
        assert run.failure is None
        assert run.records["count"][-1]["nothing"]
        assert run.records["gnu_radio_channel"][0]["lost"] > 0
    else:
        with pytest.raises(Exception, match="signal 9") as caught:
            run.wait(60)
        assert "Traceback" not in str(caught.value)
        assert "gnu_radio_channel" in str(caught.value)
    assert not children("companion/channel.py")


def test_encoded_samples_are_what_a_stand_in_hears(stand_in: StandIn) -> None:
    stand_in.answer(lambda message: [message])
    sent = symbol_frames(1, 100)
    through(link(stand_in, mode="raw", flush=4), sent)
    assert stand_in.heard[0] == encode_samples(np.concatenate([sent[0]["symbols"], np.zeros(4, np.complex64)]))

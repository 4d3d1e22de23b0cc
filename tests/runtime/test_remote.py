"""Edges between flowgraphs (listen, dial): two commands over tcp, foreign messages, dead and silent peers, keys."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from runtime_blocks import Collect, Pair, Ramp, Relay, Samples, Scale, seqs
from test_flowgraph import both, wait_for

from semstream.runtime import ArraySpec, Block, CurveKeys, Flowgraph, FlowgraphError, Frame, In, PortType, Run
from semstream.runtime.frames.wire import control, encode

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}


@pytest.fixture
def endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def transmitter(endpoint: str, count: int = 50, every_s: float = 0.0, **options: Any) -> Flowgraph:
    fg = Flowgraph("tx")
    relay = fg.add(Relay())
    fg.connect(Ramp(count=count, every_s=every_s), relay)
    fg.listen(relay, endpoint, **options)
    return fg


def receiver(endpoint: str, slow_s: float = 0.0, **options: Any) -> Flowgraph:
    fg = Flowgraph("rx")
    scale = fg.add(Scale())
    fg.dial(endpoint, scale, **options)
    fg.connect(scale, Collect(slow_s=slow_s))
    return fg


def command(kind: str, endpoint: str, **options: Any) -> subprocess.Popen[str]:
    """Transmitter or receiver as a command of its own."""
    call = f"{kind}({endpoint!r}, **{options!r}).run(on_record=lambda name, r: print(r['seq'], flush=True))"
    code = f"from test_remote import {kind}\n{call}"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


@both
def test_two_flowgraphs_over_tcp_give_every_frame(engine: str, endpoint: str) -> None:
    rx = receiver(endpoint).start(engine)
    tx = transmitter(endpoint).start("threads")
    tx.wait(30)
    rx.wait(30)
    assert seqs(rx.records["collect"]) == list(range(50))
    assert rx.records["collect"][3]["hops"] == ["ramp", "relay", "scale"]
    assert rx.records["collect"][3]["tags"] == {"index": 3, "gain": 2.0}


def test_two_receivers_share_the_frames(endpoint: str) -> None:
    first, second = (receiver(endpoint, slow_s=0.002, credit=1).start() for _ in range(2))
    tx = transmitter(endpoint, count=100, every_s=0.001).start()
    tx.wait(30)
    both_got = [seqs(run.wait(30).records["collect"]) for run in (first, second)]
    assert sorted(both_got[0] + both_got[1]) == list(range(100))


def test_a_killed_transmitter_fails_the_receiver_with_what_had_arrived(endpoint: str) -> None:
    tx = command("transmitter", endpoint, count=-1, every_s=0.001)
    rx = receiver(endpoint).start()
    wait_for(lambda: len(rx.records["collect"]) > 20)
    tx.kill()
    begin = time.monotonic()
    with pytest.raises(FlowgraphError, match=f"block 'scale': port 'samples': the sender at {endpoint} is gone"):
        rx.wait(20)
    assert time.monotonic() - begin < 5
    got = seqs(rx.records["collect"])
    assert got == list(range(len(got)))
    assert rx.counters()["blocks"]["collect"]["frames_in"]["samples"] == len(got)
    tx.communicate()


def test_a_killed_receiver_fails_the_transmitter(endpoint: str) -> None:
    rx = command("receiver", endpoint)
    tx = transmitter(endpoint, count=-1, every_s=0.001).start()
    assert rx.stdout is not None
    assert rx.stdout.readline()
    rx.kill()
    begin = time.monotonic()
    with pytest.raises(FlowgraphError, match=r"block 'relay': receiver 'scale' .* is gone"):
        tx.wait(20)
    assert time.monotonic() - begin < 5
    rx.communicate()


def test_a_frozen_transmitter_is_taken_for_dead(endpoint: str) -> None:
    tx = command("transmitter", endpoint, count=-1, every_s=0.001)
    rx = receiver(endpoint).start()
    wait_for(lambda: len(rx.records["collect"]) > 20)
    tx.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    with pytest.raises(FlowgraphError, match="silent for 3 s"):
        rx.wait(20)
    assert 2 < time.monotonic() - begin < 8
    tx.kill()
    tx.communicate()


def test_a_receiver_that_is_stopped_ends_the_transmitter_with_a_word(endpoint: str) -> None:
    tx, rx = transmitter(endpoint, count=-1, every_s=0.001).start(), receiver(endpoint).start()
    wait_for(lambda: len(rx.records["collect"]) > 5)
    begin = time.monotonic()
    assert rx.stop().wait(1).finished
    assert time.monotonic() - begin < 1.5
    with pytest.raises(FlowgraphError, match="left before the end of the stream"):
        tx.wait(20)
    tx.stop()


def test_a_transmitter_that_fails_tells_the_receiver(endpoint: str) -> None:
    fg = Flowgraph("tx")
    scale = fg.add(Scale(name="bad"))
    scale.process = lambda frame: 1 / 0  # type: ignore[method-assign]
    fg.connect(Ramp(), scale)
    fg.listen(scale, endpoint)
    rx, tx = receiver(endpoint).start(), fg.start()
    with pytest.raises(FlowgraphError, match="ZeroDivisionError"):
        tx.wait(20)
    with pytest.raises(FlowgraphError, match="block 'bad' has failed or was stopped"):
        rx.wait(20)


def test_a_peer_that_is_not_there_is_named_with_what_to_start(endpoint: str) -> None:
    with pytest.raises(
        FlowgraphError, match=f"nobody answers at {endpoint} after 0.5 s; start the flowgraph that"
    ) as e:
        receiver(endpoint, connect_timeout=0.5).run(timeout=20)
    assert e.value.block == "scale"


@both
def test_a_port_in_use_gives_one_clear_message(engine: str, endpoint: str) -> None:
    with socket.socket() as holder:
        host, port = endpoint.removeprefix("tcp://").split(":")
        holder.bind((host, int(port)))
        holder.listen()
        with pytest.raises(FlowgraphError) as caught:
            transmitter(endpoint).run(engine=engine, timeout=30)
    assert f"block 'relay', port 'out': cannot listen on {endpoint}: the port is in use" in str(caught.value)
    assert caught.value.block == "relay"
    assert caught.value.traceback_text == ""


def test_a_listener_that_nobody_dials_can_be_stopped(endpoint: str) -> None:
    run = transmitter(endpoint).start()
    begin = time.monotonic()
    run.stop()
    assert run.wait(1).finished
    assert time.monotonic() - begin < 2


class PairSink(Block):
    pair = In(Pair)


def test_two_flowgraphs_that_do_not_fit_say_so(endpoint: str) -> None:
    fg = Flowgraph("rx")
    fg.dial(endpoint, PairSink())
    source = Flowgraph("tx")
    source.listen(Ramp(count=-1), endpoint)
    tx, rx = source.start(), fg.start()
    with pytest.raises(FlowgraphError, match="do not fit: expected Pair"):
        rx.wait(20)
    tx.stop()
    assert tx.counters()["blocks"]["ramp"]["bad"] == {"hello_type": 1}


# -- foreign and damaged messages ----------------------------------------------------------------------------------


def good(seq: int) -> list[Any]:
    return encode(Frame({"x": np.full(3, seq, np.float32)}, seq=seq, t0_ns=1))


BAD = {
    "not_msgpack": [b"GET / HTTP/1.1"],
    "part_count": good(0)[:1],
    "byte_count": [good(0)[0], good(0)[1][:-1]],
    "dtype": encode(Frame({"x": np.zeros(3, np.int32)})),
    "undeclared_array": encode(Frame({"y": np.zeros(3, np.float32)})),
    "shape": encode(Frame({"x": np.zeros((3, 1), np.float32)})),
    "header_too_long": [bytes(2**20 + 1)],
    "kind": [control("credit", n=1)],
}


def fake_sender(endpoint: str) -> zmq.Socket[bytes]:
    router = zmq.Context.instance().socket(zmq.ROUTER)
    router.linger = 0
    router.bind(endpoint)
    return router


def test_bad_messages_are_counted_by_reason_and_the_stream_goes_on(endpoint: str) -> None:
    router = fake_sender(endpoint)
    rx = receiver(endpoint, credit=4).start()
    identity, _ = router.recv_multipart()
    router.send_multipart([identity, control("hello", block="fake", port="out", type=Samples.describe())])
    sent = 0
    for parts in BAD.values():
        router.send_multipart([identity, *parts])
        router.send_multipart([identity, *good(sent)])
        sent += 1
    router.send_multipart([identity, control("eos")])
    rx.wait(20)
    assert seqs(rx.records["collect"]) == list(range(sent))
    assert rx.counters()["blocks"]["scale"]["bad"] == dict.fromkeys(BAD, 1)
    assert "scale: 1 bad messages (byte_count)" in rx.summary()
    router.close()


def test_a_sender_survives_foreign_peers(endpoint: str) -> None:
    tx = transmitter(endpoint, count=30).start()
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(endpoint)
    for parts in ([b"junk"], [b""], [control("credit", n=5)], [control("hello", node="x", credit=-1)], [b"a", b"b"]):
        dealer.send_multipart(parts)
    wait_for(lambda: sum(tx.counters()["blocks"]["relay"].get("bad", {}).values()) == 5)
    with socket.create_connection(endpoint.removeprefix("tcp://").split(":")) as raw:  # type: ignore[arg-type]
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
    rx = receiver(endpoint).start()
    tx.wait(20)
    assert seqs(rx.wait(20).records["collect"]) == list(range(30))
    assert tx.counters()["blocks"]["relay"]["bad"] == {
        "not_a_map": 1,
        "not_msgpack": 2,
        "no_hello": 1,
        "hello": 1,
    }
    dealer.close()


# -- keys ----------------------------------------------------------------------------------------------------------


def run_with_keys(endpoint: str, listener: CurveKeys, dialler: CurveKeys | None) -> Run:
    tx = transmitter(endpoint, curve=listener).start()
    try:
        return receiver(endpoint, curve=dialler, connect_timeout=2.0).run(timeout=30)
    finally:
        tx.stop()


def test_a_known_key_is_let_in_and_others_are_not(endpoint: str) -> None:
    server, client, stranger = CurveKeys.generate(), CurveKeys.generate(), CurveKeys.generate()
    listener = CurveKeys(server.public, server.secret, clients=(client.public,))
    known = CurveKeys(client.public, client.secret, server=server.public)
    unknown = CurveKeys(stranger.public, stranger.secret, server=server.public)
    assert "secret" not in repr(known)
    with pytest.raises(FlowgraphError, match=r"refused this end's CURVE key|nobody answers"):
        run_with_keys(endpoint, listener, unknown)
    with pytest.raises(FlowgraphError, match="nobody answers"):
        run_with_keys(endpoint, listener, None)
    assert seqs(run_with_keys(endpoint, listener, known).records["collect"]) == list(range(50))


def test_an_oversized_message_is_never_taken_and_the_run_ends_with_a_word(endpoint: str) -> None:
    router = fake_sender(endpoint)
    fg = Flowgraph("rx")
    small = PortType("Samples", {"x": ArraySpec("float32", ("N",))}, max_elements=10)

    class Small(Block):
        samples = In(small)

        def process(self, frame: Frame) -> None:
            self.publish({"seq": frame.seq})

    fg.dial(endpoint, Small())
    rx = fg.start()
    identity, _ = router.recv_multipart()
    router.send_multipart([identity, control("hello", block="fake", port="out", type=small.describe())])
    router.send_multipart([identity, *good(0)])
    router.send_multipart([identity, *encode(Frame({"x": np.zeros(11, np.float32)}))])
    wait_for(lambda: bool(rx.counters()["blocks"]["small"].get("bad")))
    assert rx.counters()["blocks"]["small"]["bad"] == {"too_many_elements": 1}
    router.send_multipart([identity, good(1)[0], bytes(2**22)])
    with pytest.raises(FlowgraphError, match="over the limit of 1048576 bytes a message"):
        rx.wait(20)
    assert seqs(rx.records["small"]) == [0]
    router.close()

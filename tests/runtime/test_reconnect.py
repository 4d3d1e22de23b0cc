"""Edges between hosts whose connection is lost and comes back: what arrives, what is dropped, what is said.

A relay between the two ends cuts: it closes connections, which loses what is under way, or stops carrying without a
word, as a pulled cable does. `test_network.py` does it with real cables.
"""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import test_remote
import zmq
from runtime_blocks import Collect, Compare, Ramp, Relay, Samples, Scale, seqs
from test_flowgraph import wait_for
from test_hosts import free_ports

from semstream.runtime import Flowgraph, FlowgraphError
from semstream.runtime.edges import numbers
from semstream.runtime.frames.wire import control, unpack


class Wire(threading.Thread):
    """Carries TCP connections to a port, until it is told not to."""

    def __init__(self, target: int) -> None:
        super().__init__(daemon=True)
        self.target = target
        self.open = True
        self.stalled = False
        self.cuts = 0
        self.carried = 0
        self.cut_every = 0
        self._leave = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self.start()

    def run(self) -> None:
        since = 0
        while not self._leave:
            pairs = self._pairs
            if not self.open or (self.cut_every and since > self.cut_every):
                self.cuts += bool(pairs)
                since = 0
                for end in pairs:
                    end.close()
                pairs.clear()
            waiting = [] if self.stalled else [self._listener, *pairs]
            for end in select.select(waiting, [], [], 0.005)[0]:
                if end is self._listener:
                    near, _ = end.accept()
                    try:
                        distant = socket.create_connection(("127.0.0.1", self.target))
                    except OSError:
                        near.close()
                        continue
                    if self.open:
                        pairs |= {near: distant, distant: near}
                    else:
                        near.close()
                        distant.close()
                elif end in pairs:
                    data = b""
                    try:
                        data = end.recv(65536)
                        pairs[end].sendall(data)
                    except OSError:
                        pass
                    since += len(data)
                    self.carried += len(data)
                    if not data:
                        other = pairs.pop(end)
                        del pairs[other]
                        end.close()
                        other.close()

    def close(self) -> None:
        self._leave = True
        self.join(5)
        for end in (self._listener, *self._pairs):
            end.close()


@pytest.fixture
def wires() -> Iterator[list[Wire]]:
    made: list[Wire] = []
    yield made
    for wire in made:
        wire.close()


def ends(
    wires: list[Wire], policy: str = "block", credit: Any = "auto", reconnect: float = 10.0, **ramp: Any
) -> tuple[Flowgraph, Flowgraph, Wire]:
    """Transmitter and receiver of one edge, and the wire between them."""
    (port,) = free_ports(1)
    wires.append(wire := Wire(port))
    tx, rx = Flowgraph("tx"), Flowgraph("rx")
    source, sink = Ramp(**ramp), Collect()
    tx.listen(source, f"tcp://127.0.0.1:{port}", policy=policy, reconnect=reconnect)
    rx.dial(f"tcp://127.0.0.1:{wire.port}", sink, credit=credit, reconnect=reconnect, connect_timeout=10)
    return tx, rx, wire


@pytest.mark.parametrize("credit", ["auto", 8])
def test_a_connection_that_is_lost_again_and_again_costs_no_frame(wires: list[Wire], credit: Any) -> None:
    tx, rx, wire = ends(wires, credit=credit, count=300, size=2000, every_s=0.001)
    wire.cut_every = 400_000  # each cut loses what is under way, in both directions
    runs = [graph.start() for graph in (rx, tx)]
    for run in runs:
        run.wait(60)
    assert seqs(runs[0].records["collect"]) == list(range(300))
    assert wire.cuts >= 4
    assert runs[0].counters()["blocks"]["collect"]["bad"] == runs[1].counters()["blocks"]["ramp"]["bad"] == {}


def test_a_live_edge_says_what_a_cut_has_cost_and_joins_go_on(wires: list[Wire]) -> None:
    ports = free_ports(2)
    wires += [Wire(port) for port in ports]
    tx, rx = Flowgraph("tx"), Flowgraph("rx")
    source, scale, compare = Ramp(count=400, every_s=0.002), Scale(), Compare()
    tx.connect(source, scale)
    for end, port in zip((source, scale), ports, strict=True):
        tx.listen(end, f"tcp://127.0.0.1:{port}", policy="drop_oldest", depth=400, reconnect=10)
    for end, wire in zip((compare.reference, compare.other), wires, strict=True):
        rx.dial(f"tcp://127.0.0.1:{wire.port}", end, credit="auto", reconnect=10)
    wires[0].cut_every = 10_000
    runs = [graph.start() for graph in (rx, tx)]
    for run in runs:
        run.wait(60)
    received, sent = runs[0].counters(), runs[1].counters()
    joined = received["blocks"]["compare"]["work"]["count"]
    lost = [edge["drops"].get(why, 0) for edge in received["edges"].values() for why in ("late",)]
    lost += [edge["drops"].get("cut", 0) for edge in sent["edges"].values()]
    alone = sum(edge["drops"].get("unmatched", 0) for edge in received["edges"].values())
    assert wires[0].cuts >= 2
    assert sum(lost) > 0
    assert joined < 400 <= joined + sum(lost)  # no frame went without a word
    assert joined + alone <= 400


def test_a_wire_that_stalls_loses_nothing_and_a_live_edge_shows_nothing_old(wires: list[Wire]) -> None:
    """Shorter than the heartbeat's patience: the connection stays, and what was under way comes late."""
    pairs = [ends(wires, policy=policy, credit=4, count=200, every_s=0.005) for policy in ("block", "drop_oldest")]
    runs = [graph.start() for pair in pairs for graph in (pair[1], pair[0])]
    lossless, live = (run.records["collect"] for run in runs[::2])
    wait_for(lambda: min(len(lossless), len(live)) > 40)
    for wire in wires:
        wire.stalled = True
    threading.Event().wait(1.0)  # the stall itself; nothing is waited for
    for wire in wires:
        wire.stalled = False
    for run in runs:
        run.wait(60)
    assert seqs(lossless) == list(range(200))
    assert max(record["age_ms"] for record in lossless) > 900
    assert runs[2].counters()["blocks"]["collect"]["drops"]["samples: late"] >= 1
    assert max(record["age_ms"] for record in live[20:]) < 500
    assert seqs(live) == sorted(set(seqs(live)))


def test_patience_ends_with_the_words_of_who_is_gone(wires: list[Wire]) -> None:
    tx, rx, wire = ends(wires, count=-1, every_s=0.002, reconnect=1.0)
    runs = [graph.start() for graph in (rx, tx)]
    wait_for(lambda: len(runs[0].records["collect"]) > 20)
    wire.open = False
    with pytest.raises(FlowgraphError, match=r"the sender at tcp://.* is gone: out of reach for 1 s"):
        runs[0].wait(20)
    with pytest.raises(FlowgraphError, match=r"receiver 'collect' is gone: out of reach for 1 s"):
        runs[1].wait(20)


def test_a_sender_whose_process_was_killed_is_not_waited_for(wires: list[Wire]) -> None:
    (port,) = free_ports(1)
    endpoint = f"tcp://127.0.0.1:{port}"
    tx: subprocess.Popen[str] = test_remote.command("transmitter", endpoint, count=-1, every_s=0.001, reconnect=60.0)
    rx = test_remote.receiver(endpoint, reconnect=60.0).start()
    wait_for(lambda: len(rx.records["collect"]) > 20)
    tx.send_signal(signal.SIGKILL)
    tx.communicate()
    with pytest.raises(FlowgraphError, match="its machine answers, and its process has ended"):
        rx.wait(20)
    got = seqs(rx.records["collect"])
    assert got == list(range(len(got)))


def test_a_sender_that_was_started_anew_is_not_taken_for_the_old_one(wires: list[Wire]) -> None:
    tx, rx, wire = ends(wires, count=-1, every_s=0.002)
    first, run = tx.start(), rx.start()
    wait_for(lambda: len(run.records["collect"]) > 20)
    wire.open = False
    wait_for(lambda: wire.cuts > 0)
    first.stop()
    second = tx.start()
    wire.open = True
    with pytest.raises(FlowgraphError, match="was started anew and does not know where 'collect' was; start both anew"):
        run.wait(20)
    second.stop()


def test_a_run_that_waits_for_its_peer_stops_at_once(wires: list[Wire]) -> None:
    tx, rx, wire = ends(wires, count=-1, every_s=0.002, reconnect=60.0)
    runs = [graph.start() for graph in (rx, tx)]
    wait_for(lambda: len(runs[0].records["collect"]) > 20)
    wire.open = False
    wait_for(lambda: wire.cuts > 0)
    for run in runs:
        begin = time.monotonic()
        run.stop()
        assert run.wait(1).finished
        assert time.monotonic() - begin < 3


def test_a_clock_that_jumps_moves_nothing_but_the_clock(wires: list[Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    tx, rx, wire = ends(wires, policy="drop_oldest", credit=4, count=300, every_s=0.003)
    runs = [graph.start() for graph in (rx, tx)]
    wait_for(lambda: len(runs[0].records["collect"]) > 50)
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + 7200)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + 7200 * 10**9)
    wait_for(lambda: len(runs[0].records["collect"]) > 100)
    monkeypatch.setattr(time, "time", lambda: now() - 7200)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() - 7200 * 10**9)
    for run in runs:
        run.wait(30)
    assert runs[0].records["collect"][-1]["seq"] == 299
    assert wire.cuts == 0
    assert len(runs[0].records["collect"]) > 200  # by the clock, all after the first jump would be two hours old


def test_a_host_whose_clock_is_wrong_gives_frames_of_the_right_age(wires: list[Wire]) -> None:
    """The source says that its frames are an hour old, and its clock is: the other end knows better."""
    (port,) = free_ports(1)
    code = "import time\nreal = time.time_ns\ntime.time_ns = lambda: real() - 3600 * 10**9\n"
    code += (
        f"from test_remote import transmitter\ntransmitter('tcp://127.0.0.1:{port}', 60, 0.005, reconnect=5.0).run()"
    )
    sender = subprocess.Popen([test_remote.sys.executable, "-c", code], env=test_remote.ENVIRONMENT)
    rx = test_remote.receiver(f"tcp://127.0.0.1:{port}", reconnect=5.0, credit="auto").run(timeout=60)
    assert sender.wait(20) == 0
    ages = sorted(record["age_ms"] for record in rx.records["collect"])
    assert len(ages) == 60
    assert -50 < ages[30] < 1000


def test_a_graph_over_two_lost_connections_keeps_its_order(wires: list[Wire]) -> None:
    """Replicas behind a cut edge: each has its own connection, and order is restored behind them."""
    (port,) = free_ports(1)
    wires.append(wire := Wire(port))
    tx, rx = Flowgraph("tx"), Flowgraph("rx")
    tx.listen(Ramp(count=200, every_s=0.002, size=500), f"tcp://127.0.0.1:{port}", reconnect=10)
    scale = rx.add(Scale(slow_s=0.001), replicas=2)
    rx.dial(f"tcp://127.0.0.1:{wire.port}", scale, credit=3, reconnect=10)
    rx.connect(scale, Relay(), Collect())
    wire.cut_every = 120_000
    runs = [graph.start() for graph in (rx, tx)]
    for run in runs:
        run.wait(60)
    assert wire.cuts >= 2
    assert seqs(runs[0].records["collect"]) == list(range(200))


def test_foreign_sessions_are_counted_and_the_stream_goes_on(wires: list[Wire]) -> None:
    (port,) = free_ports(1)
    tx = Flowgraph("tx")
    tx.listen(Ramp(count=40, every_s=0.002), f"tcp://127.0.0.1:{port}", reconnect=5)
    sender = tx.start()
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(f"tcp://127.0.0.1:{port}")
    good = {"node": "x", "credit": 2, "type": Samples.describe(), "session": "s", "received": 0, "granted": 2}
    good |= {"most": 2, "now": 1}
    bad = [{"received": -1}, {"granted": "2"}, {"now": 2**63}, {"session": 5}, {"session": "s" * 65}, {"most": None}]
    for change in bad:
        dealer.send(control("hello", **good | change))
    dealer.send(control("hello", **good | {"received": 7}))  # a stream that this sender never began
    wait_for(lambda: sum(sender.counters()["blocks"]["ramp"].get("bad", {}).values()) == 7)
    assert sender.counters()["blocks"]["ramp"]["bad"] == {"hello": 6, "hello_refused": 1}
    rx = Flowgraph("rx")
    rx.dial(f"tcp://127.0.0.1:{port}", Collect(), reconnect=5)
    receiver = rx.start()
    sender.wait(20)
    assert seqs(receiver.wait(20).records["collect"]) == list(range(40))
    dealer.close()


def test_damaged_numbers_are_counted_and_the_stream_goes_on(wires: list[Wire]) -> None:
    (port,) = free_ports(1)
    router = test_remote.fake_sender(f"tcp://127.0.0.1:{port}")
    rx = Flowgraph("rx")
    rx.dial(f"tcp://127.0.0.1:{port}", Collect(), credit=4, reconnect=5)
    receiver = rx.start()
    identity, first = router.recv_multipart()
    hello = unpack(first)
    assert (hello["received"], hello["granted"], hello["most"]) == (0, 4, 4)
    router.send_multipart([identity, control("hello", block="f", port="out", type=Samples.describe(), policy="block")])
    for number in (1, 2, 2, 3):  # the second 2 has come before
        hop = numbers.pack_hop(number, hello["now"], 0, time.time_ns())
        router.send_multipart([identity, *test_remote.good(number), hop])
    router.send_multipart([identity, *test_remote.good(9), b"short"])
    router.send_multipart([identity, *test_remote.good(9)])
    router.send_multipart([identity, control("eos"), numbers.pack_hop(4, hello["now"], 0, time.time_ns())])
    receiver.wait(20)
    assert seqs(receiver.records["collect"]) == [1, 2, 3]
    assert receiver.counters()["blocks"]["collect"]["bad"] == {"hop": 2}
    router.close()

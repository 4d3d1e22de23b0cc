"""What the engine `ray` is made of, without a cluster: demands, edges and their keys, the bridge, addresses."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import zmq
from runtime_blocks import Collect, Compare, Ramp, Relay, Scale, Twice

from semstream.runtime import Flowgraph, FlowgraphError, RayCluster
from semstream.runtime.edges.sockets import open_socket
from semstream.runtime.engines.cluster.bridge import Bridge
from semstream.runtime.engines.cluster.demands import demands_of, lacking
from semstream.runtime.engines.cluster.edges import Edges
from semstream.runtime.engines.cluster.joining import check_answers
from semstream.runtime.frames import wire
from semstream.runtime.graph.plan import Plan


def placed() -> Flowgraph:
    fg = Flowgraph("placed", restart_limit=2)
    source = fg.add(Ramp(), process="ends", resources={"CPU": 1})
    scale = fg.add(Scale(), replicas=3, resources={"GPU": 0.5}, restart="on_failure")
    sink = fg.add(Collect(), process="ends", resources={"CPU": 1, "disk": 1})
    fg.connect(source, scale, fg.add(Relay(), group="branch"), sink)
    return fg


def test_a_process_asks_for_what_its_blocks_and_each_replica_ask_for() -> None:
    demands = demands_of(Plan(placed()))
    assert demands["ends"].resources == {"CPU": 2, "disk": 1}
    assert demands["ends"].nodes == ("ramp", "collect")
    assert [demands[f"scale#{i}"].resources for i in range(3)] == [{"GPU": 0.5}] * 3
    assert [demands[process].restarts for process in ("ends", "scale#0", "relay")] == [0, 2, 0]
    assert demands["relay"].group == "branch"


def test_what_a_cluster_lacks_is_told_with_numbers() -> None:
    demands = list(demands_of(Plan(placed())).values())
    enough = [{"CPU": 4.0, "disk": 1.0}, {"GPU": 2.0, "CPU": 1.0}]
    assert lacking(demands, enough) == ""
    poor = lacking(demands, [{"CPU": 1.0, "disk": 1.0}])
    assert "CPU: 2.001 asked (ends 2, relay 0.001), 1 there" in poor
    assert "GPU: 1.5 asked (scale#0 0.5, scale#1 0.5, scale#2 0.5), 0 there" in poor
    split = lacking(demands, [{"CPU": 2.0}, {"CPU": 2.0, "GPU": 2.0}, {"CPU": 1.0, "disk": 1.0}])
    assert split == "process 'ends' asks for 2 CPU, 1 disk on one host, and the most that any one has is 2 CPU, 1 disk"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"resources": {"cpu": 1}}, "did you mean 'CPU'"),
        ({"resources": {"CPU": -1}}, "expected a number >= 0 of CPU, got -1"),
        ({"resources": {"GPU": 1.5}}, "a whole number of GPU, or a share below 1, got 1.5"),
        ({"resources": {"": 1}}, "expected names such as 'CPU'"),
        ({"restart": "sometimes"}, "expected a restart policy of never, on_failure, always, got 'sometimes'"),
        ({"restarts": 3}, "restarts=3: restart says it: 'on_failure' .at most restart_limit times., 'always' or"),
    ],
)
def test_wrong_placements_are_refused_when_a_block_is_added(given: dict[str, object], words: str) -> None:
    with pytest.raises(FlowgraphError, match=f"block 'scale'.*{words}"):
        Flowgraph().add(Scale(), **given)  # type: ignore[arg-type]


def test_an_argument_that_add_does_not_know_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError, match=r"add\(\) got an unexpected keyword argument 'replica'"):
        Flowgraph().add(Scale(), replica=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["ray", RayCluster("10.0.0.1:6379")], ids=["by name", "of an address"])
def test_blocks_that_cannot_begin_amid_a_stream_are_not_started_again_on_ray(engine: str | RayCluster) -> None:
    for policy in ("on_failure", "always"):
        for block, why in ((Ramp(), "a source begins from its first frame"), (Twice(), "it numbers its frames anew")):
            fg = Flowgraph()
            fg.add(block, restart=policy)
            fg.connect(*(block, Collect()) if block.is_source else (Ramp(), block, Collect()))
            with pytest.raises(FlowgraphError, match=rf"block '{block.name}', restart='{policy}': {why}.*engine 'ray'"):
                fg.start(engine)


def test_a_policy_of_the_graph_is_for_the_blocks_that_can_begin_amid_a_stream() -> None:
    for policy, most in (("never", 0), ("on_failure", 5), ("always", -1)):
        fg = Flowgraph(restart=policy)
        fg.connect(Ramp(), Scale(), Twice(), fg.add(Collect(), restart="on_failure"))
        fg.validate("ray")
        found = {process: demand.restarts for process, demand in demands_of(Plan(fg)).items()}
        assert found == {"ramp": 0, "scale": most, "twice": 0, "collect": 5}


def test_durable_edges_are_refused_on_ray_and_what_reconnects_by_itself_where_the_owner_starts_blocks_again() -> None:
    fg = Flowgraph("kept", durable=True)
    fg.connect(Ramp(), Collect())
    with pytest.raises(FlowgraphError, match=r"edge ramp.out -> collect.samples is durable, and engine 'ray' keeps no"):
        fg.start("ray")
    fg = Flowgraph("far")
    fg.dial("tcp://127.0.0.1:7", fg.add(Collect(), restart="on_failure"), reconnect=5)
    fg.validate("ray")
    for engine in ("threads", "processes"):
        with pytest.raises(FlowgraphError, match="reconnect is for runs whose blocks are not started again"):
            fg.start(engine)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"group": "a"}, r"group: scale a, collect \(none\)"),
        ({"restart": "on_failure"}, "restart: scale on_failure, collect never"),
    ],
    ids=["group", "restart"],
)
def test_blocks_of_one_process_must_agree_on_group_and_restart(given: dict[str, Any], words: str) -> None:
    fg = Flowgraph()
    fg.connect(Ramp(), fg.add(Scale(), process="p", **given), fg.add(Collect(), process="p"))
    with pytest.raises(FlowgraphError, match=rf"process 'p': .* differ in {words}"):
        demands_of(Plan(fg))


def edges_of(fg: Flowgraph, hosts: dict[str, str], encrypt: bool = True) -> tuple[Edges, Plan]:
    plan = Plan(fg)
    edges = Edges(plan, encrypt)
    port = iter(range(2000, 3000))
    for process in dict.fromkeys(plan.process.values()):
        wanted = edges.wanted(process, hosts)
        edges.reserved({key: f"tcp://{host}:{next(port)}" for key, host in wanted})
    return edges, plan


def test_edges_within_a_host_are_on_loopback_and_others_have_curve() -> None:
    fg = Flowgraph()
    source, sink = Ramp(), Compare()
    fg.connect(source, Relay(), sink.other)
    fg.connect(source, sink.reference)
    edges, plan = edges_of(fg, {"ramp": "10.0.0.1", "relay": "10.0.0.1", "compare": "10.0.0.2"})
    nodes = plan.place(lambda i: "inproc://c", edges.endpoint, lambda block: "")
    specs = {p.spec.node: edges.guarded(p.spec) for p in nodes}
    near, far = specs["ramp"].outputs
    assert near.endpoint.startswith("tcp://127.0.0.1:")
    assert near.curve is None
    assert specs["relay"].inputs[0].curve is None
    assert far.endpoint.startswith("tcp://10.0.0.1:")
    assert far.curve is not None
    assert far.curve.clients == (far.curve.public,) == tuple(edges.clients)
    assert {i.port: i.curve for i in specs["compare"].inputs} == {"other": far.curve, "reference": far.curve}
    assert specs["compare"].inputs[0].curve.server == far.curve.public  # type: ignore[union-attr]


def test_edges_go_open_only_where_that_is_chosen() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(), Collect())
    edges, plan = edges_of(fg, {"ramp": "10.0.0.1", "collect": "10.0.0.2"}, encrypt=False)
    (spec, _) = (p.spec for p in plan.place(lambda i: "inproc://c", edges.endpoint, lambda block: ""))
    assert edges.clients == []
    assert edges.guarded(spec).outputs[0].curve is None


def test_edges_of_a_block_that_may_come_to_another_host_are_not_on_loopback() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(), fg.add(Relay(), restart="on_failure"), Collect())
    hosts = dict.fromkeys(("ramp", "relay", "collect"), "10.0.0.1")
    edges, _ = edges_of(fg, hosts)
    assert all(e.startswith("tcp://10.0.0.1:") for process in hosts for e in edges.endpoints(process).values())


def test_replicas_on_several_hosts_have_one_kind_of_edge() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(), fg.add(Scale(), replicas=2), Collect())
    hosts = {"ramp": "10.0.0.1", "scale#0": "10.0.0.1", "scale#1": "10.0.0.2", "collect": "10.0.0.1"}
    edges, _ = edges_of(fg, hosts)
    assert {e.rpartition(":")[0] for p in hosts for e in edges.endpoints(p).values()} == {
        "tcp://10.0.0.1", "tcp://10.0.0.2",
    }  # fmt: skip


def test_a_bridge_keeps_order_both_ways_and_waits_while_it_is_full() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    heard: list[tuple[str, bytes]] = []
    arrived, full = threading.Event(), threading.Event()

    def hear(node: str, message: bytes) -> None:
        heard.append((node, message))
        if message == b"99":
            arrived.set()

    full.set()
    bridge = Bridge(context, {"a": "inproc://a", "b": "inproc://b"}, True, hear, full.is_set)
    bridge.start()
    lines = {node: open_socket(context, zmq.DEALER, 1000, False) for node in "ab"}
    for node, line in lines.items():
        line.connect(f"inproc://{node}")
        bridge.give(node, b"hello")
        bridge.give(node, node.encode())
    assert [lines["a"].recv(), lines["a"].recv()] == [b"hello", b"a"]
    assert [lines["b"].recv(), lines["b"].recv()] == [b"hello", b"b"]
    for i in range(100):
        lines["a"].send(b"%d" % i)
    assert heard == []
    full.clear()
    assert arrived.wait(10)
    assert heard == [("a", b"%d" % i) for i in range(100)]
    bridge.close()
    for line in lines.values():
        line.close(0)
    context.term()


@pytest.mark.parametrize("address", ["nowhere", "host:", ":6379", "host:http", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(FlowgraphError, match="expected the address of a Ray cluster as HOST:PORT"):
        check_answers(address)


def test_an_address_where_nobody_answers_or_something_else_does_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(FlowgraphError, match=f"what answers at 127.0.0.1:{port} is no Ray cluster"):
            check_answers(f"127.0.0.1:{port}")
        thread.join()
    with pytest.raises(FlowgraphError, match=f"no Ray cluster at 127.0.0.1:{port}: Connection refused; start one"):
        check_answers(f"127.0.0.1:{port}")


def test_without_ray_the_engine_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    fg = Flowgraph()
    fg.connect(Ramp(), Collect())
    for engine in ("ray", RayCluster("10.0.0.1:6379")):
        with pytest.raises(FlowgraphError, match=r"engine 'ray' needs Ray .*pip install 'semstream\[cluster\]'"):
            fg.run(engine)


def test_placements_pass_through_a_file(tmp_path: Path) -> None:
    fg = placed()
    fg.engine = "ray"
    fg.save(tmp_path / "graph.yaml")
    text = (tmp_path / "graph.yaml").read_text()
    assert "restart: on_failure" in text
    again = Flowgraph.load(tmp_path / "graph.yaml")
    assert (again.restart_of("scale"), again.restart_of("relay"), again.restart_limit) == ("on_failure", "never", 2)
    assert again.placements == fg.placements
    assert again.engine == "ray"
    (tmp_path / "graph.yaml").write_text(text.replace("GPU: 0.5", "gpu: 0.5"))
    with pytest.raises(FlowgraphError, match=r"graph.yaml:\d+: block 'scale', resources: no resource 'gpu'; did you"):
        Flowgraph.load(tmp_path / "graph.yaml")
    (tmp_path / "graph.yaml").write_text(text.replace("restart: on_failure", "restarts: 2"))
    with pytest.raises(
        FlowgraphError, match=r"graph.yaml:\d+: block 'scale': unknown key 'restarts'; restart says it: "
    ):
        Flowgraph.load(tmp_path / "graph.yaml")


def test_credit_of_a_node_that_lives_again_replaces_that_of_its_last_life() -> None:
    from semstream.runtime.counters import NodeCounters
    from semstream.runtime.edges.parcel import Parcel
    from semstream.runtime.edges.sender import Sender
    from semstream.runtime.frames.frame import Frame
    from semstream.runtime.graph.nodes import OutputSpec

    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))  # as `Worker.reserve` does
    endpoint = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
    block, counters = Ramp(), NodeCounters()
    spec = OutputSpec("out", "ramp.out -> b.samples", endpoint, "block", 1, ["b"])
    sender = Sender(context, spec, block.outputs["out"].type, "ramp", counters, block.log)
    lives = []
    for _ in range(2):
        life = open_socket(context, zmq.DEALER, 10_000, False)
        life.connect(endpoint)
        life.send(wire.control("hello", node="b", credit=3))
        assert sender.socket.poll(5000)
        sender.on_readable()
        assert sender.total == 3
        lives.append(life)
        if len(lives) == 1:
            for seq in range(2):
                sender.give(Parcel(Frame({}, seq=seq)))
    assert counters.drops == {"ramp.out -> b.samples: under way to b when it died": 2}
    for life in lives:
        life.close(0)
    sender.close(0)
    holder.close()
    context.term()

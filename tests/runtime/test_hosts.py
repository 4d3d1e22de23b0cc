"""A graph in parts, one a host: the parts fit, and what is wrong with hosts, addresses and keys is said in one line."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from runtime_blocks import Compare, Ramp, Relay, Scale
from test_flowgraph import both, wait_for

from semstream.runtime import CurveKeys, Flowgraph, FlowgraphError, FlowgraphFileError, Run
from semstream.runtime.files.json_schema import as_text
from semstream.runtime.files.keyfile import make_certificates, read_keys, write_keys

ROOT = Path(__file__).resolve().parents[2]


def free_ports(count: int) -> list[int]:
    """Ports that are free, three in a row from each of them."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port < 65000 and all(abs(port - other) > 3 for other in found):
            found.append(port)
    return found


def far(ports: list[int], count: int = 40, patience: float = 20.0) -> Flowgraph:
    """Two ways from tx to rx, one of them over mid: three edges between hosts, two of which leave tx."""
    graph = Flowgraph("far", seed=3, credit="auto")
    ramp, scale, compare = Ramp(count=count), Scale(gain=3.0), Compare()
    graph.connect(ramp, scale, compare.other)
    graph.connect(ramp, compare.reference)
    for name, port, block in zip(("tx", "mid", "rx"), ports, (ramp, scale, compare), strict=True):
        graph.host(name, f"127.0.0.1:{port}", block, patience=patience)
    return graph


def in_parts(graph: Flowgraph, engine: str = "threads") -> dict[str, Run]:
    return {host: graph.only(host).start(engine if host == "mid" else "threads") for host in reversed(graph.hosts)}


@both
def test_the_parts_of_a_graph_give_what_the_whole_gives(engine: str) -> None:
    runs = in_parts(far(free_ports(3)), engine)
    for run in runs.values():
        run.wait(60)
    whole = far(free_ports(3)).run("threads", timeout=60)
    assert runs["rx"].records["compare"] == whole.records["compare"]
    assert len(whole.records["compare"]) == 40
    edges = runs["tx"].counters()["edges"] | runs["mid"].counters()["edges"] | runs["rx"].counters()["edges"]
    assert set(edges) == set(whole.counters()["edges"])
    assert {edge["frames"] for edge in edges.values()} == {40}


def test_edges_that_leave_a_host_have_its_port_and_the_next() -> None:
    graph = far([5600, 5700, 5800])
    endpoints = {host: [edge.endpoint for edge in graph.only(host).edges] for host in graph.hosts}
    assert endpoints == {
        "tx": ["tcp://127.0.0.1:5600", "tcp://127.0.0.1:5601"],
        "mid": ["tcp://127.0.0.1:5600", "tcp://127.0.0.1:5700"],
        "rx": ["tcp://127.0.0.1:5700", "tcp://127.0.0.1:5601"],
    }


def wrong(change: str) -> Flowgraph:
    graph = far([5600, 5700, 5800])
    if change == "clash":
        graph.hosts["mid"] = graph.hosts["tx"].parse("mid", "127.0.0.1:5601")
    elif change == "homeless":
        del graph.host_of["scale"]
    elif change == "open":
        graph.hosts["tx"] = graph.hosts["tx"].parse("tx", "10.1.2.3:5600")
    elif change == "replicas":
        graph.replicas["scale"] = 2
    elif change == "ports":
        graph.hosts["tx"] = graph.hosts["tx"].parse("tx", "127.0.0.1:65535")
    return graph


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("clash", "hosts 'tx' and 'mid' both need 127.0.0.1:5601; give them ports further apart"),
        ("homeless", "block 'scale' lives on no host; there are: tx, mid, rx"),
        (
            "open",
            "host 'tx': 10.1.2.3 can be reached from other machines; give keys:.* semstream keygen tx mid rx makes",
        ),
        ("replicas", "block 'scale', port 'out': replicas cannot share one edge to another host; put a block behind"),
        ("ports", "host 'tx': 2 edges leave it, too many for the ports from 65535 on"),
    ],
)
def test_what_is_wrong_with_hosts_is_said_before_anything_starts(change: str, words: str) -> None:
    with pytest.raises(FlowgraphError, match=words):
        wrong(change).only("tx")


def test_a_host_that_is_none_is_named_with_those_that_are() -> None:
    with pytest.raises(FlowgraphError, match="'far' has no host 'nobody'; there are: tx, mid, rx"):
        far([5600, 5700, 5800]).only("nobody")
    with pytest.raises(FlowgraphError, match="names no hosts, so that there is no part 'tx' of it; say which blocks"):
        Flowgraph("here").only("tx")
    with pytest.raises(FlowgraphError, match="host 'a': expected an address HOST:PORT, got 'nowhere'"):
        Flowgraph("here").host("a", "nowhere")
    graph = far([5600, 5700, 5800])
    with pytest.raises(FlowgraphError, match="block 'scale' lives on host 'mid' and cannot live on 'four' too"):
        graph.host("four", "127.0.0.1:5900", graph.blocks["scale"])


def test_a_host_that_never_comes_is_named_with_its_address_at_both_ends() -> None:
    ports = free_ports(3)
    graph = far(ports, patience=1.0)
    with pytest.raises(FlowgraphError, match=rf"host 'mid' \(127.0.0.1:{ports[1]}\) has not come to .* within 1 s"):
        graph.only("tx").run(timeout=20)
    with pytest.raises(FlowgraphError, match=rf"nobody answers .* after 1 s; start host 'tx' \(127.0.0.1:{ports[0]}\)"):
        graph.only("mid").run(timeout=20)


def test_a_second_host_of_the_same_name_is_refused_and_the_first_goes_on() -> None:
    graph, same = (far(ports, count=-1) for ports in [free_ports(3)] * 2)
    runs = {host: graph.only(host).start() for host in graph.hosts}
    records = runs["rx"].records["compare"]
    wait_for(lambda: len(records) > 20)
    del same.blocks["compare"], same.edges[1:]  # a second 'mid' on another machine could bind what this one cannot
    second = same.only("mid")
    with pytest.raises(FlowgraphError, match=r"host 'mid' .* runs already: another one has taken ramp.out -> scale"):
        second.run(timeout=20)
    seen = len(records)
    wait_for(lambda: len(records) > seen + 20)
    with pytest.raises(FlowgraphError, match=r"cannot listen on tcp://127.0.0.1:\d+: the port is in use"):
        graph.only("tx").run(timeout=20)
    for run in runs.values():
        run.stop()


def test_an_address_that_the_machine_does_not_have_is_said_so() -> None:
    keys = CurveKeys.generate(clients=(CurveKeys.generate().public,))
    graph = Flowgraph("tx")
    graph.listen(Ramp(), "tcp://198.51.100.7:5600", curve=keys)
    with pytest.raises(FlowgraphError, match="this machine does not have that address"):
        graph.run(timeout=20)


def test_hosts_with_unlike_graphs_say_so() -> None:
    ports = free_ports(3)
    other = Flowgraph("far", credit="auto")
    ramp, relay = Ramp(count=-1), Relay()
    other.connect(ramp, relay)
    other.host("tx", f"127.0.0.1:{ports[0]}", ramp)
    other.host("mid", f"127.0.0.1:{ports[1]}", relay)
    tx = far(ports).only("tx").start()
    with pytest.raises(
        FlowgraphError, match=r"is edge ramp.out -> scale.samples, not 'ramp.out -> relay.into'; give all"
    ):
        other.only("mid").run(timeout=20)
    tx.stop()


# -- files -----------------------------------------------------------------------------------------------------------

FILE = """semstream: 1
name: far
hosts:
  tx: 127.0.0.1:5600
  rx: {address: 127.0.0.1:5610, patience: 5}
blocks:
  source: {class: ImageSource, host: tx}
  wait: {class: Throttle, host: rx}
  sink: {class: ImageSink, settings: {path: out}, host: rx}
edges:
  - {connect: source -> wait -> sink, credit: auto}
"""


def test_a_graph_with_hosts_comes_back_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "far.yaml").write_text(FILE, encoding="utf-8")
    graph = Flowgraph.load(tmp_path / "far.yaml")
    graph.keys = str(tmp_path / "keys")
    graph.save(tmp_path / "again.yaml")
    again = Flowgraph.load(tmp_path / "again.yaml")
    assert "keys: keys\n" in (tmp_path / "again.yaml").read_text()
    assert (again.hosts, again.host_of, again.keys) == (graph.hosts, graph.host_of, graph.keys)
    assert [edge.credit for edge in again.edges] == ["auto", "auto"]
    assert again.hosts["rx"].patience_s == 5
    again.keys = ""
    assert [edge.name for edge in again.only("rx").edges] == ["source.image -> wait.frame", "wait.out -> sink.image"]


@pytest.mark.parametrize(
    ("line", "replaced", "words"),
    [
        (4, "  tx: nowhere", "host 'tx': expected an address HOST:PORT, got 'nowhere'"),
        (5, "  rx: {address: 127.0.0.1:5610, patience: 0}", "key 'patience': expected a number > 0"),
        (5, "  rx: {adress: 127.0.0.1:5610}", "unknown key 'adress'; did you mean 'address'?"),
        (4, "  tx: 10.0.0.1:5600", "10.0.0.1 can be reached from other machines; give keys:"),
        (7, "  source: {class: ImageSource, host: tax}", "block 'source': no host 'tax'; there are: tx, rx"),
        (8, "  wait: {class: Throttle}", "block 'wait' lives on no host; there are: tx, rx"),
        (11, "  - {connect: source -> wait -> sink, credit: most}", "key 'credit'"),
    ],
)
def test_what_is_wrong_with_hosts_in_a_file_is_said_with_its_line(
    tmp_path: Path, line: int, replaced: str, words: str
) -> None:
    lines = FILE.splitlines()
    lines[line - 1] = replaced
    (tmp_path / "far.yaml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(FlowgraphFileError) as caught:
        Flowgraph.load(tmp_path / "far.yaml")
    assert f"far.yaml:{line}: " in str(caught.value)
    assert words in str(caught.value)


def test_the_published_schema_knows_hosts() -> None:
    from semstream.runtime.files.classes import library

    text = (ROOT / "semstream" / "runtime" / "flowgraph.schema.json").read_text(encoding="utf-8")
    assert text == as_text(library())
    assert '"HostEntry"' in text


# -- keys ------------------------------------------------------------------------------------------------------------


def semstream(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "semstream.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=cwd)


def test_keygen_makes_certificates_that_only_their_owner_can_read(tmp_path: Path) -> None:
    made = semstream("keygen", "tx", "rx", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    secret = tmp_path / "keys" / "tx.key_secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    tx = read_keys(secret, server=tmp_path / "keys" / "rx.key")
    rx = read_keys(tmp_path / "keys" / "rx.key_secret")
    assert tx.server == rx.public
    assert rx.clients == (tx.public,)
    again = semstream("keygen", "new", "rx", cwd=tmp_path)
    assert again.returncode == 2
    assert "rx.key is there already; remove it if 'rx' is to have new keys" in again.stderr
    assert not (tmp_path / "keys" / "new.key").exists()
    with pytest.raises(FlowgraphError, match="is no name for a file"):
        make_certificates(tmp_path, ["../tx"])


def test_a_key_that_others_can_read_or_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["tx", "rx"])
    graph = far([5600, 5700, 5800])
    graph.keys = str(tmp_path)
    with pytest.raises(FlowgraphError, match=r"mid.key: no such file; semstream keygen mid --out .* makes it"):
        graph.only("tx")
    (tmp_path / "tx.key_secret").chmod(0o640)
    with pytest.raises(FlowgraphError, match=r"tx.key_secret: others can read it \(mode 640\).*chmod 600"):
        graph.only("tx")
    (tmp_path / "tx.key_secret").chmod(0o600)
    (tmp_path / "tx.key_secret").write_text("nothing", encoding="ascii")
    with pytest.raises(FlowgraphError, match=r"tx.key_secret: no certificate of ZeroMQ"):
        graph.only("tx")
    write_keys(CurveKeys.generate(), tmp_path / "own")
    (tmp_path / "own").chmod(0o644)
    with pytest.raises(FlowgraphError, match=r"own: others can read it \(mode 644\)"):
        read_keys(tmp_path / "own")


def test_hosts_with_keys_talk_and_one_with_another_key_is_refused(tmp_path: Path) -> None:
    make_certificates(tmp_path / "keys", ["tx", "mid", "rx"])
    ports = free_ports(3)
    graph = far(ports)
    graph.keys = str(tmp_path / "keys")
    for run in (runs := in_parts(graph)).values():
        run.wait(60)
    assert len(runs["rx"].records["compare"]) == 40
    make_certificates(tmp_path / "others", ["mid"])
    for name in ("tx.key", "rx.key"):
        (tmp_path / "others" / name).write_bytes((tmp_path / "keys" / name).read_bytes())
    graph, stranger = far(ports, patience=3.0), far(ports, patience=3.0)
    graph.keys, stranger.keys = str(tmp_path / "keys"), str(tmp_path / "others")
    tx = graph.only("tx").start()
    with pytest.raises(FlowgraphError, match=r"refused this end's CURVE key|nobody answers"):
        stranger.only("mid").run(timeout=20)
    with pytest.raises(FlowgraphError, match=r"host 'mid' .* has not come"):
        tx.wait(20)
    assert tx.counters()["blocks"]["ramp"]["bytes_out"] == {}


def test_a_guarded_edge_tells_a_plain_peer_nothing() -> None:
    keys = CurveKeys.generate(clients=(CurveKeys.generate().public,))
    (port,) = free_ports(1)
    graph = Flowgraph("guarded")
    ramp = Ramp(name="secret_name", count=-1)
    graph.listen(ramp, f"tcp://127.0.0.1:{port}", curve=keys)
    run = graph.start()
    wait_for(lambda: run.duration > 0)
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        heard += plain.recv(4096)  # it speaks first; behind a greeting without keys the connection is closed, or reset
        with contextlib.suppress(ConnectionError):
            plain.sendall(b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(16) + b"\0" + bytes(31))
            plain.sendall(b"\4\x26\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\0")
            while part := plain.recv(4096):
                heard += part
    # No more than ZMTP's own greeting, which says that this is ZeroMQ with CURVE, and then the end.
    greeting = b"\xff" + bytes(7) + b"\1\x7f\3\1CURVE" + bytes(15) + b"\1" + bytes(31)
    assert heard
    assert greeting.startswith(heard)
    assert run.counters()["blocks"]["secret_name"]["bad"] == {}
    run.stop()

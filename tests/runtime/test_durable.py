"""Durable edges: whatever dies, every frame comes exactly once, and the records are those of a quiet run."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from durable_blocks import Ledgered, Mortal, Narrow, Radio, Spoiler, Staircase
from runtime_blocks import Compare, Number, Ramp, Relay, Scale, Twice

from semstream.runtime import BlockError, Flowgraph, FlowgraphError, PortError, Run
from semstream.runtime.engines import guarded_conductor
from semstream.runtime.engines.conductor import Conductor
from tools.bench_parts.crashes import killed, small, timeless

ENGINES = ["threads", "processes"]


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs keep their files in a folder of the test's own, and take them along."""
    folder = Path(tempfile.mkdtemp(prefix="durable-", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []
    folder.rmdir()


def mortal(tmp_path: Path, count: int = 40, **settings: Any) -> tuple[Flowgraph, Mortal]:
    graph = Flowgraph("mortal", durable=True)
    victim = Mortal(name="victim", marks=str(tmp_path / "marks"), **settings)
    graph.connect(Ramp(count=count), Relay(), victim, Number(name="sink"))
    return graph, victim


def sums(count: int) -> list[float]:
    return [i * (i + 1) / 2 for i in range(count)]


def values(run: Run, sink: str = "sink") -> list[float]:
    assert [record["seq"] for record in run.records[sink]] == list(range(len(run.records[sink])))
    return [record["first"] for record in run.records[sink]]


def test_processes_that_are_killed_at_random_lose_nothing_and_double_nothing() -> None:
    calm = small(3000, restart="never").run(engine="processes")
    disturbed = killed(small(3000), "check", 8, 2000, seed=7)
    assert sum(disturbed.killed.values()) == 8
    for sink in ("check", "keep"):
        assert timeless(disturbed.run.records[sink]) == timeless(calm.records[sink])
    again = sum(sum(c["restarts"].values()) for c in disturbed.run.counters()["blocks"].values())
    assert again == 8
    assert "started again, " in disturbed.run.summary()


def test_a_quiet_durable_run_gives_what_a_plain_one_gives() -> None:
    plain, durable = (small(400, kind, restart="never").run() for kind in (False, True))
    assert timeless(plain.records["check"]) == timeless(durable.records["check"])
    assert timeless(plain.records["keep"]) == timeless(durable.records["keep"])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_block_that_raises_goes_on_with_its_state(engine: str, tmp_path: Path) -> None:
    graph, _ = mortal(tmp_path, at=[3, 20, 39])
    run = graph.run(engine=engine, timeout=60)
    assert values(run) == sums(40)
    restarts = run.counters()["blocks"]["victim"]["restarts"]
    assert sum(restarts.values()) == 3
    assert "RuntimeError: died as told" in next(iter(restarts))


@pytest.mark.parametrize("how", ["raise", "kill"])
def test_a_block_that_dies_again_and_again_ends_the_run_by_name(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_conductor, "BACK_OFF_S", 0.001)
    graph, _ = mortal(tmp_path, at=[5], times=100, how=how)
    graph.restart_limit = 3
    with pytest.raises(
        FlowgraphError, match=r"block 'victim'.*started again 3 times in a row.*restart_limit=3"
    ) as caught:
        graph.run(engine="processes", timeout=60)
    assert 4 <= (tmp_path / "marks").read_text().count("\n") <= 20  # what comes before the fifth may need some lives
    assert caught.value.block == "victim"
    run = caught.value.run
    assert run is not None
    assert [record["first"] for record in run.records["sink"]] == sums(5)


def test_always_knows_no_limit_and_never_starts_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_conductor, "BACK_OFF_S", 0.001)
    graph, _ = mortal(tmp_path, at=[5], times=9)
    graph.protect(restart="always")
    assert values(graph.run(timeout=60)) == sums(40)
    graph, _ = mortal(tmp_path, at=[6])
    graph.protect(restart="never")
    with pytest.raises(FlowgraphError, match="died as told"):
        graph.run(timeout=60)


def test_a_policy_of_one_block_is_its_own(tmp_path: Path) -> None:
    graph = Flowgraph("own", durable=True)
    victim = graph.add(Mortal(marks=str(tmp_path / "marks"), at=[4]), restart="never")
    graph.connect(Ramp(), victim, Number())
    with pytest.raises(FlowgraphError, match="block 'mortal' failed in process"):
        graph.run(timeout=60)


def test_without_durable_edges_a_block_is_started_again_and_what_was_under_way_is_lost(tmp_path: Path) -> None:
    graph = Flowgraph("lossy", restart="on_failure")
    graph.connect(Ramp(count=50), Mortal(marks=str(tmp_path / "marks"), at=[9]), Number(name="sink"))
    seqs = [record["seq"] for record in graph.run(timeout=60).records["sink"]]
    assert len(set(seqs)) == len(seqs)
    assert 9 not in seqs
    assert seqs[-1] == 49
    assert len(seqs) >= 45


def test_a_source_that_cannot_repeat_goes_on_from_its_ring_on_disk() -> None:
    graph = Flowgraph("radio", durable="disk", engine="processes")
    graph.connect(Radio(die_at=25), Relay(), Ledgered(name="sink", die_at=12))
    run = graph.run(timeout=60)
    *records, last = run.records["sink"]
    expected = [(0, i) for i in range(25) if i % 10 != 3] + [(1, i) for i in range(50) if i % 10 != 3]
    numbers = [i for i in range(75) if (i if i < 25 else i - 25) % 10 != 3]
    assert [tuple(record["x"]) for record in records] == expected
    assert [record["seq"] for record in records] == numbers
    assert last == {"seen": numbers}


def test_a_full_disk_under_the_ring_is_named_and_the_policy_decides() -> None:
    def graph(restart: str) -> Flowgraph:
        full = Flowgraph("full", durable="disk", engine="processes", restart=restart)
        full.connect(Radio(file_limit=6000), Ledgered(name="sink"))
        return full

    with pytest.raises(FlowgraphError, match=r"block 'radio': its ring cannot be kept: .*TMPDIR") as caught:
        graph("never").run(timeout=60)
    run = caught.value.run
    assert run is not None
    given = [record["seq"] for record in run.records["sink"] if "seq" in record]
    *records, _ = graph("on_failure").run(timeout=60).records["sink"]
    first = [tuple(record["x"]) for record in records if record["x"][0] == 0]
    assert 0 < len(first) < 45
    assert len(given) <= len(first)  # all that was kept before the disk was full has come
    assert [record["x"][1] for record in records if record["x"][0] == 1] == [i for i in range(50) if i % 10 != 3]


def test_a_snapshot_that_cannot_be_read_ends_the_run_by_name(tmp_path: Path) -> None:
    graph = Flowgraph("spoilt", durable=True)
    victim = Spoiler(name="victim", marks=str(tmp_path / "marks"), at=[60], how="kill")
    graph.connect(Ramp(count=100, every_s=0.002), victim, Number())
    with pytest.raises(FlowgraphError, match=r"block 'victim': its snapshot .* cannot be read .it is damaged"):
        graph.run(engine="processes", timeout=60)
    assert (tmp_path / "marks").read_text() == "60\n"


def test_live_settings_are_in_force_in_the_next_life(tmp_path: Path) -> None:
    graph, _ = mortal(tmp_path, count=200, at=[150])
    graph.blocks["ramp"].settings = graph.blocks["ramp"].settings.model_copy(update={"every_s": 0.002})
    run = graph.start()
    run.set("victim", gain=3.0)
    run.wait(60)
    assert values(run)[150:] == [3 * total for total in sums(200)[150:]]


def test_stopping_a_durable_run_ends_it_soon(tmp_path: Path) -> None:
    graph, _ = mortal(tmp_path, count=-1)
    run = graph.start(engine="processes")
    while not run.records["sink"]:
        assert not run.finished
    run.stop()
    assert run.finished
    assert run.failure is None
    assert values(run) == sums(len(run.records["sink"]))


def test_blocks_that_share_a_process_are_started_again_together(tmp_path: Path) -> None:
    graph = Flowgraph("shared", durable=True, engine="processes")
    victim, sink = Mortal(marks=str(tmp_path / "marks"), at=[7, 8], how="kill"), Compare(name="sink")
    source = Ramp(count=30)
    graph.add(victim, process="one")
    graph.add(sink, process="one")
    graph.connect(source, victim, sink.other)
    graph.connect(source, sink.reference)
    run = graph.run(timeout=60)
    assert [record["seq"] for record in run.records["sink"]] == list(range(30))


def test_a_source_with_state_goes_on_where_its_ring_on_disk_ends() -> None:
    graph = Flowgraph("staircase", durable="disk", engine="processes")
    graph.connect(Staircase(count=120, die_at=[40, 90]), Ledgered(name="sink", die_at=60))
    *records, last = graph.run(timeout=60).records["sink"]
    assert [record["x"] for record in records] == [[float(i * (i + 1) // 2)] for i in range(120)]
    assert last == {"seen": list(range(120))}


# -- between two flowgraphs ----------------------------------------------------------------------------------------


class Cable:
    """A TCP connection through this process, which can be cut: whoever dials again is served again."""

    def __init__(self, port: int) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._to = port
        self._ends: list[socket.socket] = []
        self.made = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        """Break every connection in the middle of whatever goes through it."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:  # nobody listens there yet
                near.close()
                continue
            self.made += 1
            self._ends += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):  # not closed: the other thread may be about to read from that descriptor
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def halves(listen: int, dial: int, durable: tuple[bool, bool] = (True, True)) -> tuple[Flowgraph, Flowgraph]:
    transmitter, receiver = (Flowgraph(name, durable=kind) for name, kind in zip("tr", durable, strict=True))
    source = Ramp(count=400, every_s=0.002)
    transmitter.connect(source, last := Relay())
    transmitter.listen(last.out, f"tcp://127.0.0.1:{listen}")
    first = Scale(name="first")
    receiver.dial(f"tcp://127.0.0.1:{dial}", first.samples, connect_timeout=20)
    receiver.connect(first, Number(name="sink"))
    return transmitter, receiver


def test_a_connection_that_breaks_is_made_again_without_loss() -> None:
    port = free_port()
    cable = Cable(port)
    transmitter, receiver = halves(port, cable.port)
    with transmitter.start() as sending, receiver.start() as receiving:
        for reached in (50, 150, 300):
            while len(receiving.records["sink"]) < reached:
                assert not receiving.finished, receiving.failure
                threading.Event().wait(0.002)
            cable.cut()
        receiving.wait(60)
        sending.wait(60)
    cable.close()
    assert cable.made >= 4  # an old socket may have been about to dial again
    assert values(receiving) == [2.0 * i for i in range(400)]


@pytest.mark.parametrize("victim", ["first", "relay"])
def test_either_end_of_an_edge_between_flowgraphs_may_be_killed(victim: str) -> None:
    port = free_port()
    transmitter, receiver = halves(port, port)
    engines = ("threads", "processes") if victim == "first" else ("processes", "threads")
    with transmitter.start(engines[0]) as sending, receiver.start(engines[1]) as receiving:
        for reached in (50, 200):
            while len(receiving.records["sink"]) < reached:
                assert not receiving.finished, receiving.failure
                threading.Event().wait(0.002)
            (receiving if victim == "first" else sending)._conductor.engine.abandon(victim)
        receiving.wait(60)
        sending.wait(60)
    assert values(receiving) == [2.0 * i for i in range(400)]


@pytest.mark.parametrize(
    ("size", "words"), [(300_000, "over the limit of"), (11, "cannot be taken .too_many_elements")]
)
def test_a_frame_that_cannot_be_taken_ends_the_run_with_a_word(size: int, words: str) -> None:
    port = free_port()
    transmitter, receiver = (Flowgraph(name, durable=True) for name in "tr")
    transmitter.connect(Ramp(count=3, size=size), last := Relay())
    transmitter.listen(last.out, f"tcp://127.0.0.1:{port}")
    receiver.dial(f"tcp://127.0.0.1:{port}", Narrow(name="narrow").small)
    with transmitter.start(), receiver.start() as receiving, pytest.raises(FlowgraphError, match=words):
        receiving.wait(60)


@pytest.mark.parametrize("durable", [(True, False), (False, True)])
def test_ends_that_do_not_agree_are_told(durable: tuple[bool, bool]) -> None:
    port = free_port()
    transmitter, receiver = halves(port, port, durable)
    with transmitter.start(), receiver.start() as receiving, pytest.raises(FlowgraphError, match="durable=True"):
        receiving.wait(30)


# -- what is refused -----------------------------------------------------------------------------------------------


def test_what_could_not_keep_its_promise_is_refused() -> None:
    graph = Flowgraph("mixed")
    middle = Relay()
    graph.connect(Ramp(), middle, policy="drop_oldest")
    graph.connect(middle, Number(), durable=True)
    with pytest.raises(FlowgraphError, match=r"ramp.out -> relay.into, which feeds it, is not"):
        graph.validate()
    with pytest.raises(PortError, match="a durable edge drops nothing"):
        graph.connect(middle, Number(), policy="latest", durable=True)
    radio = Flowgraph("radio", durable=True)
    radio.connect(Radio(), Number())
    with pytest.raises(FlowgraphError, match=r"cannot give its frames again if it dies.*durable='disk'"):
        radio.validate()
    radio.protect(restart="never")
    radio.validate()
    for wrong in ({"durable": "tape"}, {"restart": "sometimes"}, {"ring": 0}, {"restart_limit": 0}):
        with pytest.raises(FlowgraphError, match="expected"):
            Flowgraph("wrong", **wrong)  # type: ignore[arg-type]


def test_several_frames_of_one_number_are_refused() -> None:
    class Doubled(Twice):
        renumber = False

    graph = Flowgraph("twice", durable=True, restart="never")
    graph.connect(Ramp(), Doubled(), Number())
    with pytest.raises(FlowgraphError, match=r"several frames of number 0.*renumber = True"):
        graph.run(timeout=60)


def test_a_run_without_the_option_knows_nothing_of_it() -> None:
    graph = Flowgraph("plain")
    graph.connect(Ramp(), Number())
    assert not graph.guarded
    with graph.start() as run:
        assert type(run._conductor) is Conductor
        assert all(placed.spec.guard is None for placed in run._conductor.engine._placed)  # type: ignore[attr-defined]


def test_an_error_that_a_user_must_mend_is_not_tried_again(tmp_path: Path) -> None:
    class Unmended(Relay):
        def start(self) -> None:
            (tmp_path / "tries").open("a").write("x")
            raise BlockError("block 'unmended', setting 'path': there is none")

    graph = Flowgraph("unmended", durable=True)
    graph.connect(Ramp(), Unmended(), Number())
    with pytest.raises(FlowgraphError, match="setting 'path'"):
        graph.run(timeout=60)
    assert (tmp_path / "tries").read_text() == "x"

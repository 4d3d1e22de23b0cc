"""Large arrays between processes of one run: right, bounded, doubted where they should be, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from runtime_blocks import Collect, Compare, Keep, Number, Ramp, Relay, Samples, Scale, Where, seqs
from test_flowgraph import wait_for
from test_remote import ENVIRONMENT
from test_wire import values

from semstream.runtime import ANY, Flowgraph, FlowgraphError, Frame, WireError
from semstream.runtime.counters import NodeCounters
from semstream.runtime.edges import slots
from semstream.runtime.edges.credit import CREDIT_MESSAGES, LEASE
from semstream.runtime.edges.parcel import Parcel
from semstream.runtime.edges.receiver import Inputs
from semstream.runtime.edges.sender import Sender
from semstream.runtime.edges.slot_reader import SlotReader
from semstream.runtime.edges.slots import Pool, memory_name
from semstream.runtime.frames import wire
from semstream.runtime.graph.nodes import InputSpec, OutputSpec

LARGE = 50_000
"""Samples of float32: 200 kB."""

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no memfd")


def copies(run: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for block in run.counters()["blocks"].values():
        found |= block["copies"]
    return found


# -- whole runs ----------------------------------------------------------------------------------------------------


def test_large_frames_arrive_right_over_branches_replicas_and_joins_and_blocks_may_keep_some() -> None:
    fg = Flowgraph("large", seed=2)
    source, compare = fg.add(Ramp(count=120, size=LARGE, skip_every=10)), fg.add(Compare())
    fg.connect(source, fg.add(Scale(slow_s=0.0005), replicas=2), Keep(gain=2.0, most=2), compare.other)
    fg.connect(source, compare.reference)
    fg.connect(source, Keep(name="beside", most=2), Number())
    results = [fg.run(engine, timeout=60) for engine in ("processes", "threads")]
    expected = [i for i in range(120) if i % 10 != 1]
    for run in results:
        assert seqs(run.records["compare"]) == seqs(run.records["number"]) == expected
        for name in ("keep", "beside"):
            assert run.records[name] == [{"kept": 2, "right": True, "writeable": False}]
        assert copies(run) == {}
    for edge, what in results[0].counters()["edges"].items():
        assert what["bytes"] == results[1].counters()["edges"][edge]["bytes"] > 0


def test_a_block_that_keeps_more_than_there_are_slots_gets_the_rest_through_the_socket() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=80, size=LARGE), Keep(), Relay(), Number())
    run = fg.run("processes", timeout=60)
    assert run.records["keep"] == [{"kept": 80, "right": True, "writeable": False}]
    assert seqs(run.records["number"]) == list(range(80))
    ((edge, count),) = copies(run).items()
    assert edge == "ramp.out -> keep.samples: no slot free: its receivers hold many frames"
    assert count == 80 - 4  # credit 2, and 2 to spare
    assert f"ramp: {count} large frames copied through a socket" in run.summary()


def test_what_is_dropped_before_it_is_sent_gives_its_slot_back() -> None:
    fg = Flowgraph()
    fg.connect(
        Ramp(count=300, size=LARGE, every_s=0.0005), Number(slow_s=0.01), policy="drop_oldest", credit=1, depth=3
    )
    run = fg.run("processes", timeout=60)
    edge = run.counters()["edges"]["ramp.out -> number.samples"]
    assert edge["drops"]["drop_oldest"] > 100
    assert seqs(run.records["number"])[-1] == 299
    assert copies(run) == {}


def large_run() -> None:
    """In a process of its own: a run with large frames; its records and what was copied, printed."""
    fg = Flowgraph()
    fg.connect(Ramp(count=30, size=LARGE), Keep(most=1), Number())
    run = fg.run("processes", timeout=60)
    print(run.records["keep"][0], seqs(run.records["number"]) == list(range(30)), copies(run), sep="\n")


LACKS = {
    "a limit on file sizes, as a full memory": (
        "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (2**17,) * 2)",
        "EFBIG",
    ),
    "no memfd": ("import os; del os.memfd_create", "memfd_create"),
    "memfd forbidden": (
        "import os\ndef no(*_): raise PermissionError(1, 'no')\nos.memfd_create = no",
        "EPERM",
    ),
    "no sealing": ("import fcntl\ndel fcntl.F_ADD_SEALS", "F_ADD_SEALS"),
    "no /proc": (
        "import os\nread = os.readlink\ndef no(path, **_):\n"
        "    if str(path).startswith('/proc/'): raise FileNotFoundError(2, 'no', path)\n    return read(path)\n"
        "os.readlink = no",
        "cannot be opened",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lack", LACKS)
def test_without_shared_memory_frames_are_copied_and_counted(lack: str, tmp_path: Path) -> None:
    code, why = LACKS[lack]
    (tmp_path / "sitecustomize.py").write_text(code)  # so that the children have it too
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{ENVIRONMENT['PYTHONPATH']}"}
    command = [sys.executable, "-c", "import test_shared_memory as t; t.large_run()"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    kept, complete, counted = done.stdout.splitlines()
    assert kept == "{'kept': 1, 'right': True, 'writeable': False}"
    assert complete == "True"
    assert len(eval(counted)) == 2
    for edge, count in eval(counted).items():
        assert why in edge
        assert count == 30


KILLED = """
    import os, sys, threading
    sys.path[:0] = {paths!r}
    from runtime_blocks import Keep, Ramp, Where
    from semstream.runtime import Flowgraph, FlowgraphError
    if __name__ == "__main__":
        fg = Flowgraph()
        fg.connect(Ramp(count=-1, size=50_000), Where(name="first"), Where(name="second"), Keep(most=2))
        seen, both = set(), threading.Event()
        def heard(block, record):
            seen.add(block)
            if {{"first", "second"}} <= seen:
                both.set()
        run = fg.start("processes", heard)
        assert both.wait(60)
        print(os.getpid(), run.records["first"][0]["pid"], run.records["second"][0]["pid"], flush=True)
        try:
            run.wait()
        except FlowgraphError as error:
            print(error.block, flush=True)
"""


def who_holds(name: str) -> set[int]:
    """Processes with memory of a run."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if name in maps.read_text():
                found.add(int(maps.parent.name))
    return found


@pytest.mark.parametrize("victims", [(0,), (1,), (2,), (1, 2), (0, 1, 2)])
def test_after_sigkill_neither_memory_nor_a_folder_is_left(victims: tuple[int, ...], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    script.write_text(textwrap.dedent(KILLED.format(paths=paths)))
    shm = Path("/dev/shm")
    there = set(shm.iterdir()) if shm.is_dir() else set()
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:  # a short path, for sockets
        folder = Path(name)
        command, environment = [sys.executable, str(script)], {**os.environ, "TMPDIR": name}
        owner = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            assert owner.stdout is not None
            pids = [int(pid) for pid in owner.stdout.readline().split()]
            (run,) = [path.name for path in folder.iterdir() if path.name.startswith("semstream-")]
            wait_for(lambda: len(who_holds(memory_name(run))) >= 3, 30)
            for victim in victims:
                with suppress(ProcessLookupError):  # the owner may have ended it already
                    os.kill(pids[victim], signal.SIGKILL)
            owner.communicate(timeout=20)
            wait_for(lambda: not who_holds(memory_name(run)), 10)
            wait_for(lambda: not list(folder.iterdir()), 10)
        finally:
            owner.kill()
            owner.communicate()
    assert not shm.is_dir() or set(shm.iterdir()) <= there


def test_frames_of_a_killed_sender_that_were_on_their_way_still_arrive() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1, size=LARGE, every_s=0.001), Where(name="victim"), Number(slow_s=0.03), credit=4)
    run = fg.start("processes")
    wait_for(lambda: len(run.records["number"]) > 5)
    os.kill(run.records["victim"][0]["pid"], signal.SIGKILL)
    with pytest.raises(FlowgraphError, match="victim"):
        run.wait(20)
    got = run.records["number"]
    assert seqs(got) == list(range(len(got)))
    assert [r["first"] for r in got] == [r["last"] for r in got] == [float(i) for i in range(len(got))]
    assert run.counters()["blocks"]["number"]["bad"] == {}


# -- slots ---------------------------------------------------------------------------------------------------------


def test_a_slot_is_used_again_only_after_its_last_holder_and_there_are_no_more_than_allowed() -> None:
    pool = Pool("test")
    assert pool.lease(100) is None
    pool.allow(1)  # and two to spare
    leases = [pool.lease(100_000) for _ in range(3)]
    first = leases[0]
    assert first is not None
    assert pool.lease(1) is None
    assert "no slot free" in pool.lack
    first.hold()
    first.release()
    assert pool.lease(1) is None
    first.release()
    again = pool.lease(50)
    assert again is not None
    assert (again.slot, again.number != first.number) == (first.slot, True)
    again.release()
    larger = pool.lease(300_000)  # the only free slot is too small: another takes its place
    assert larger is not None
    assert larger.slot.capacity >= 300_000
    assert pool.lease(1) is None
    pool.close()


def test_pages_of_a_slot_that_became_too_small_are_given_back() -> None:
    pool = Pool("test")
    pool.allow(1)
    assert pool.address is not None
    for size in range(1, 40):
        lease = pool.lease(size * 100_000)
        assert lease is not None
        lease.slot.write(0, np.ones(size * 100_000, np.uint8))
        lease.release()
        blocks = os.stat(f"/proc/self/fd/{pool.address[1]}").st_blocks * 512
        assert blocks <= 3 * 1.2 * size * 100_000 + 2**16
    pool.close()


def test_memory_that_could_not_be_mapped_is_taken_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool("unmapped")
    pool.allow(4)
    try:
        with monkeypatch.context() as broken:
            broken.setattr(slots.mmap, "mmap", Mock(side_effect=OSError(12, "no memory")))
            for _ in range(3):
                pool._failed_at = -slots.RETRY_S  # time has passed
                assert pool.lease(100_000) is None
        assert pool.lack == "no shared memory: ENOMEM"
        pool._failed_at = -slots.RETRY_S
        lease = pool.lease(100_000)
        assert lease is not None
        assert lease.slot.offset == 0
        assert os.fstat(pool._fd).st_size == lease.slot.capacity
    finally:
        pool.close()


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool("mine")
    pool.allow(8)
    yield pool
    pool.close()


@pytest.fixture
def reader(pool: Pool) -> Iterator[SlotReader]:
    assert pool.address is not None
    reader = SlotReader("mine")
    reader.open(*pool.address)
    yield reader
    reader.close()


def test_a_lease_goes_back_when_the_last_reference_has_gone(pool: Pool, reader: SlotReader) -> None:
    frame = Frame({"x": np.arange(LARGE, dtype=np.float32), "small": np.arange(3), "y": np.ones((2**9, 2**8), "u2")})
    shared = Parcel(frame).shared(pool)
    assert shared is not None
    received = wire.decode(shared.parts, ANY, reader).frame
    assert received is not None
    assert received.equals(frame)
    with pytest.raises(ValueError, match="WRITEABLE"):
        received["x"].flags.writeable = True
    with pytest.raises(WireError, match="is still held"):
        wire.decode(shared.parts, ANY, reader)
    column: Any = memoryview(received["y"].T[3:4])
    del received
    assert reader.given_back() == []
    assert column[0, 1] == 1
    del column
    assert reader.given_back() == [shared.lease.number]
    assert reader.given_back() == []


def test_arrays_that_a_block_keeps_outlive_the_link_and_the_sender(pool: Pool, reader: SlotReader) -> None:
    shared = Parcel(Frame({"x": np.arange(LARGE)})).shared(pool)
    assert shared is not None
    received = wire.decode(shared.parts, ANY, reader).frame
    assert received is not None
    reader.close()
    pool.close()
    assert np.array_equal(received["x"], np.arange(LARGE))


numbers = st.integers(-(2**70), 2**70) | st.sampled_from([0, 1, 4096, 8192, 2**18, 2**31, 2**62])


@given(place=values | st.lists(values | numbers, min_size=3, max_size=3), places=values | st.lists(numbers, max_size=4))
def test_a_slot_that_lies_is_refused_and_never_more_than_that(place: Any, places: Any) -> None:
    pool, reader = Pool("mine"), SlotReader("mine")
    pool.allow(1)
    assert pool.address is not None
    reader.open(*pool.address)
    frame = Frame({"x": np.arange(LARGE), "small": np.arange(3)})
    shared = Parcel(frame).shared(pool)
    assert shared is not None
    described = [{"name": n, "dtype": "int64", "shape": list(a.shape)} for n, a in frame.arrays.items()]
    for slot, where in ((place, [0, -1]), (shared.lease.place, places), (place, places)):
        try:
            header = wire.data_header(frame, described, (), slot=slot, places=where)
        except (OverflowError, TypeError):
            continue
        with suppress(WireError):
            got = wire.decode([header, *shared.parts[1:]], ANY, reader).frame
            assert got is not None
            got["x"].sum()  # whatever it says, there is memory behind it
            del got
    reader.close()
    pool.close()


@pytest.mark.parametrize(
    ("place", "places", "described", "reason"),
    [
        ([1, 0, 2**40], [0], {}, "slot"),
        ([1, 4096 * 1000, 4096], [0], {}, "slot"),
        ([1, 8, 4096], [0], {}, "slot"),
        ([1, 0, 0], [0], {}, "slot"),
        ([1, 0], [0], {}, "slot"),
        ([1, 0, 4096], [0], {}, "slot"),  # the array is larger
        (None, [-2], {}, "slot"),
        (None, [8], {}, "slot"),
        (None, [3], {}, "slot"),
        (None, [-1], {}, "part_count"),
        (None, [0, 0], {}, "part_count"),
        (None, ["0"], {}, "slot"),
        (None, 0, {}, "slot"),
        (None, [0], {"shape": [2 * LARGE]}, "slot"),
        (None, [0], {"shape": [-1]}, "shape"),
        (None, [0], {"dtype": "float64"}, "dtype"),
    ],
)
def test_each_lie_of_a_slot_has_its_reason(
    pool: Pool, reader: SlotReader, place: Any, places: Any, described: dict[str, Any], reason: str
) -> None:
    frame = Frame({"x": np.zeros(2**16, np.float32)})  # fills its slot
    shared = Parcel(frame).shared(pool)
    assert shared is not None
    arrays = [{"name": "x", "dtype": "float32", "shape": [2**16], **described}]
    header = wire.data_header(frame, arrays, (), slot=place or shared.lease.place, places=places)
    with pytest.raises(WireError) as caught:
        wire.decode([header], Samples, reader)
    assert caught.value.reason == reason


def test_only_sealed_memory_of_the_same_run_is_opened(tmp_path: Path) -> None:
    plain, pipe = (tmp_path / "plain").open("w+b"), os.pipe()
    other, unsealed = Pool("other"), os.memfd_create(memory_name("mine"))
    assert other.address is not None
    reader = SlotReader("mine")
    me = os.getpid()
    for address in (
        other.address, (me, unsealed), (me, plain.fileno()), (me, pipe[0]), (me, 9999), (2**22 + 5, 3), (0, 1),
        (-1, 1), (True, 1), ("1", 1), (me, None), (me, 2**70),
    ):  # fmt: skip
        with pytest.raises(WireError) as caught:
            reader.open(*address)
        assert caught.value.reason == "share"
    with pytest.raises(WireError, match="shares no memory"):
        reader.root([1, 0, 4096])
    other.close()
    plain.close()
    for fd in (unsealed, *pipe):
        os.close(fd)


# -- over a socket, with a peer that lies --------------------------------------------------------------------------


@pytest.fixture
def endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="semstream-") as folder:
        yield f"ipc://{folder}/edge"


def test_a_sender_takes_back_only_what_a_receiver_has(endpoint: str) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    pool, counters = Pool("any"), NodeCounters()
    spec = OutputSpec("out", "a -> b", endpoint, "block", 1, ["b"])
    sender = Sender(context, spec, Samples, "a", counters, Collect().log, pool=pool)
    dealer = context.socket(zmq.DEALER)
    dealer.connect(endpoint)

    def say(*parts: bytes) -> None:
        dealer.send_multipart(parts)
        assert sender.socket.poll(5000)
        sender.on_readable()

    say(wire.control("hello", node="b", credit=2, hold=2))
    assert sender.total == 0  # nothing is sent before the receiver has said whether it finds the memory
    assert wire.decode(dealer.recv_multipart(), ANY).kind == "share"
    say(wire.control("share", found=True))
    say(wire.control("share", found=True))
    assert (sender.total, counters.bad) == (2, {"kind": 1})
    frame = Frame({"x": np.zeros(LARGE, np.float32)})
    for _ in range(2):
        parcel = Parcel(frame)
        sender.give(parcel)
        parcel.close()
    first, second = (wire.unpack(dealer.recv_multipart()[0])["slot"][0] for _ in range(2))
    for numbers in (b"1234567", LEASE.pack(99), LEASE.pack(first) * 2):
        say(CREDIT_MESSAGES[0], numbers)
    assert counters.bad == {"kind": 1, "slot": 3}
    assert len(pool._free) == 1
    say(CREDIT_MESSAGES[2], LEASE.pack(second))
    assert len(pool._free) == 2
    assert sender.total == 2
    sender.on_dead("b")
    assert len(pool._free) == 2
    dealer.close(0)
    sender.close(0)
    pool.close()
    context.term()


def test_a_receiver_drops_and_counts_slots_that_are_not_there_and_goes_on(endpoint: str) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(endpoint)
    counters = NodeCounters()
    spec = InputSpec("samples", "a -> b", [endpoint], ["a"], credit=8)
    inputs = Inputs(context, [spec], Collect.inputs, "b", counters, Collect().log)
    (link,) = inputs.links
    identity, hello = router.recv_multipart()
    assert wire.decode([hello], ANY).fields["hold"] == 8
    pool = Pool(Path(endpoint).parent.name)
    pool.allow(8)
    assert pool.address is not None

    def say(*parts: Any) -> None:
        router.send_multipart([identity, *parts])
        assert link.socket.poll(5000)
        inputs.on_readable(link)

    shared = [Parcel(Frame({"x": np.full(LARGE, i, np.float32)}, seq=i)).shared(pool) for i in range(2)]
    first, second = (form for form in shared if form is not None)
    say(*first.parts)  # before the memory is known
    say(wire.control("share", pid=1, fd=0))
    say(wire.control("share", pid=pool.address[0], fd=pool.address[1]))
    say(wire.control("share", pid=pool.address[0], fd=pool.address[1]))
    say(*first.parts)
    say(*first.parts)
    say(b"\xc15")  # a handle, where there are no mailboxes
    say(*second.parts)
    assert counters.bad == {"slot": 2, "share": 2, "not_msgpack": 1}
    frames = [unit["samples"].frame for unit in inputs.ready if isinstance(unit, dict)]
    assert [(f.seq, float(f["x"][-1])) for f in frames] == [(0, 0.0), (1, 1.0)]
    del frames
    inputs.ready.clear()
    inputs.check_time()
    answers = [router.recv_multipart()[1:]]
    while len(answers[-1]) == 1:
        answers.append(router.recv_multipart()[1:])
    assert sorted(lease for (lease,) in LEASE.iter_unpack(answers[-1][1])) == [1, 2]
    link.close(0)
    pool.close()
    router.close(0)
    context.term()

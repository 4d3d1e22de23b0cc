"""What fails ends the run with the block's name and its traceback; what had arrived is not lost; nothing hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from runtime_blocks import Collect, Compare, Failing, FailingSource, Ramp, Relay, Scale, Stuck, Where, seqs
from test_flowgraph import both, wait_for

from semstream.runtime import Flowgraph, FlowgraphError
from semstream.runtime.engines import processes

ROOT = Path(__file__).parents[2]


@both
@pytest.mark.parametrize("where", ["start", "process", "stop"])
def test_a_block_that_raises_ends_the_run_with_its_name_and_traceback(engine: str, where: str) -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=20), Failing(where=where, name="bad"), Collect())
    with pytest.raises(FlowgraphError) as caught:
        fg.run(engine=engine, timeout=60)
    error = caught.value
    assert error.block == "bad"
    assert f"block 'bad' failed in {where}(): RuntimeError: broken in {where}" in error.summary
    assert "runtime_blocks.py" in error.traceback_text
    assert f'raise RuntimeError("broken in {where}")' in str(error)
    assert error.run is not None
    assert error.run.exit_code == 1
    expected = {"start": [], "process": [0, 1, 2], "stop": list(range(20))}[where]
    assert seqs(error.run.records["collect"]) == expected


@both
def test_a_source_that_raises_ends_the_run_and_its_frames_arrive(engine: str) -> None:
    fg = Flowgraph()
    fg.connect(FailingSource(), Relay(), Collect(slow_s=0.01))
    with pytest.raises(FlowgraphError, match=r"'failing_source' failed in frames\(\): RuntimeError") as caught:
        fg.run(engine=engine, timeout=60)
    assert caught.value.run is not None
    assert seqs(caught.value.run.records["collect"]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("wrong dtype", "block 'failing', port 'out': array 'x': expected dtype float32, got float64"),
        ("publish", "cannot publish"),
    ],
)
def test_wrong_output_and_wrong_records_are_said_in_words(where: str, words: str) -> None:
    fg = Flowgraph()
    fg.connect(Ramp(), Failing(where=where), Collect())
    with pytest.raises(FlowgraphError, match=words):
        fg.run(timeout=30)


@both
def test_other_blocks_stop_when_one_fails_in_an_endless_run(engine: str) -> None:
    fg = Flowgraph()
    source, join = fg.add(Ramp(count=-1)), fg.add(Compare())
    fg.connect(source, join.reference)
    fg.connect(source, Failing(at=50), Relay(), join.other)
    with pytest.raises(FlowgraphError, match="'failing'") as caught:
        fg.run(engine=engine, timeout=60)
    assert caught.value.run is not None
    assert seqs(caught.value.run.records["compare"]) == list(range(50))


def test_a_killed_process_is_named_and_what_had_left_it_arrives() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1), Failing(where="kill", at=20, name="victim"), Collect(slow_s=0.02))
    with pytest.raises(FlowgraphError, match="block 'victim': its process was killed by SIGKILL") as caught:
        fg.run(engine="processes", timeout=60)
    run = caught.value.run
    assert run is not None
    got = seqs(run.records["collect"])
    assert got == list(range(len(got)))
    assert len(got) >= 17  # all but the two that credit allows under way, and what the victim held


def test_a_process_killed_from_outside_ends_the_run_soon() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1, every_s=0.001), Where(), Collect())
    run = fg.start("processes")
    wait_for(lambda: len(run.records["collect"]) > 10)
    begin = time.monotonic()
    os.kill(run.records["where"][0]["pid"], signal.SIGKILL)
    with pytest.raises(FlowgraphError, match=r"block 'where'.*SIGKILL"):
        run.wait(20)
    assert time.monotonic() - begin < 3


def test_a_frozen_process_is_taken_for_dead_after_three_seconds() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1, every_s=0.001), Failing(where="freeze", name="frozen"), Collect())
    with pytest.raises(FlowgraphError, match="block 'frozen': its process is silent") as caught:
        fg.run(engine="processes", timeout=30)
    assert caught.value.run is not None
    assert 2.0 < caught.value.run.duration < 8.0


def test_a_process_that_gets_no_cpu_for_longer_than_that_goes_on_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "is_stopped", lambda pid: False)  # a starved process does not look stopped
    fg = Flowgraph()
    fg.connect(Ramp(count=2000, every_s=0.001), Where(), Collect())
    run = fg.start("processes")
    wait_for(lambda: len(run.records["collect"]) > 10)
    pid, begin = run.records["where"][0]["pid"], time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: time.monotonic() - begin > 4)
    finally:
        os.kill(pid, signal.SIGCONT)
    run.wait(30)
    assert seqs(run.records["collect"]) == list(range(2000))


@both
def test_a_stuck_block_does_not_hold_up_the_stop(engine: str) -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1), Stuck())
    run = fg.start(engine)
    wait_for(lambda: bool(run.records["stuck"]))
    begin = time.monotonic()
    run.stop()
    assert time.monotonic() - begin < 2.5
    assert run.finished


def test_a_run_that_takes_too_long_is_stopped_and_says_so() -> None:
    fg = Flowgraph("long")
    fg.connect(Ramp(count=-1, every_s=0.01), Collect())
    with pytest.raises(FlowgraphError, match=r"'long' has not ended after 0\.5 s") as caught:
        fg.run(timeout=0.5)
    assert caught.value.run is not None
    assert caught.value.run.records["collect"]


def test_an_on_record_that_raises_ends_the_run() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1), Collect())

    def on_record(name: str, record: dict) -> None:
        raise KeyError("mine")

    with pytest.raises(FlowgraphError, match="on_record raised KeyError") as caught:
        fg.run(on_record=on_record, timeout=20)
    assert "test_failure.py" in caught.value.traceback_text


def test_a_failing_replica_is_named() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1), fg.add(Failing(at=40, name="bad"), replicas=3), Collect())
    with pytest.raises(FlowgraphError, match="block 'bad' failed in process") as caught:
        fg.run(timeout=20)
    assert caught.value.run is not None
    got = seqs(caught.value.run.records["collect"])
    assert got == sorted(got)
    assert got[:40] == list(range(40))


def script(tmp_path: Path, body: str, guarded: bool = True) -> list[str]:
    """A user's script with a block of its own; returns the command."""
    run = textwrap.indent(textwrap.dedent(body), "    ") if guarded else textwrap.dedent(body)
    text = textwrap.dedent(
        """
        import sys, os, threading
        import numpy as np
        from semstream.runtime import ArraySpec, Block, Flowgraph, FlowgraphError, Frame, In, Out, PortType

        T = PortType("T", {"x": ArraySpec("int64", ("N",))})

        class Source(Block):
            out = Out(T)
            def frames(self):
                i = 0
                while True:
                    yield Frame({"x": np.array([i])})
                    i += 1

        class Sink(Block):
            into = In(T)
            def process(self, frame):
                self.publish({"seq": frame.seq, "pid": os.getpid()})

        """
    )
    path = tmp_path / "user_script.py"
    path.write_text(text + ("if __name__ == '__main__':\n" if guarded else "") + run)
    return [sys.executable, str(path)]


BODY = """
fg = Flowgraph("mine")
fg.connect(Source(), Sink())
def told(name, record):
    if record["seq"] == 20:
        print("running", record["pid"], flush=True)
run = fg.run(engine=ENGINE, on_record=told)
seqs = [r["seq"] for r in run.records["sink"]]
sent = run.counters()["blocks"]["source"]["frames_out"]["out"]
print("report", run.interrupted, seqs == list(range(len(seqs))), sent == len(seqs))
sys.exit(run.exit_code)
"""


@both
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_stop_within_two_seconds_with_the_report(
    engine: str, number: signal.Signals, status: int, tmp_path: Path
) -> None:
    command = script(tmp_path, BODY.replace("ENGINE", repr(engine)))
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert child.stdout is not None
    assert child.stdout.readline().startswith("running")
    begin = time.monotonic()
    child.send_signal(number)
    out, err = child.communicate(timeout=20)
    assert time.monotonic() - begin < 3.0
    assert out == "report True True True\n"
    assert "Traceback" not in err
    assert child.returncode == status


@pytest.mark.parametrize("durable", ["False", "'disk'"])
def test_children_end_and_leave_nothing_behind_when_their_owner_is_killed(durable: str, tmp_path: Path) -> None:
    body = BODY.replace('"mine"', f'"mine", durable={durable}')
    command = script(tmp_path, body.replace("ENGINE", "'processes'"))
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:  # a short path, for sockets
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": folder}
        owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert owner.stdout is not None
        pid = int(owner.stdout.readline().split()[1])
        assert pid != owner.pid
        assert [name for name in os.listdir(folder) if name.startswith("semstream-")]
        owner.kill()
        owner.wait()
        wait_for(lambda: not _alive(pid), 5)
        wait_for(lambda: not os.listdir(folder), 5)


@pytest.mark.parametrize("fork_server", [True, False])
def test_an_owner_that_is_killed_while_it_starts_leaves_no_folder(fork_server: bool, tmp_path: Path) -> None:
    without = "" if fork_server else "del os.pidfd_open"
    command = script(tmp_path, without + BODY.replace("ENGINE", "'processes'"))
    for moment in (0.0, 0.02, 0.1):
        with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": folder}
            owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            wait_for(lambda folder=folder: os.listdir(folder), 20)
            time.sleep(moment if fork_server else 0.3)  # the moment is what is tested
            owner.kill()
            owner.communicate()
            wait_for(lambda folder=folder: not os.listdir(folder), 10)


def test_a_script_without_guard_is_told_to_have_one(tmp_path: Path) -> None:
    command = script(tmp_path, BODY.replace("ENGINE", "'processes'"), guarded=False)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 1
    assert "if __name__ == '__main__':" in done.stderr


def test_a_scale_that_replaces_its_own_input_array_is_stopped() -> None:
    class Writer(Scale):
        def process(self, frame):
            frame["x"][:] = 0
            return frame

    fg = Flowgraph()
    fg.connect(Ramp(), Writer(), Collect())
    with pytest.raises(FlowgraphError, match="read-only"):
        fg.run(timeout=20)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@both
def test_ctrl_c_while_blocks_still_start_ends_within_two_seconds(engine: str, tmp_path: Path) -> None:
    body = """
    class Slow(Source):
        def start(self):
            print("starting", flush=True)
            threading.Event().wait()
    fg = Flowgraph("mine")
    fg.connect(Slow(), Sink())
    run = fg.run(engine="threads")
    print("report", run.interrupted, run.records)
    sys.exit(run.exit_code)
    """
    if engine == "processes":  # a class under the guard is unknown to the children, so let the module level have it
        body = body.replace("class Slow(Source):", "class Unused(Source):").replace("Slow()", "SlowSource()")
        body = body.replace('"threads"', '"processes"')
    command = script(tmp_path, body)
    path = Path(command[1])
    slow = """
class SlowSource(Source):
    def start(self):
        print("starting", flush=True)
        threading.Event().wait()

"""
    path.write_text(path.read_text().replace("class Sink(Block):", slow + "class Sink(Block):"))
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "starting\n"
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert time.monotonic() - begin < 3.5
    assert "report True" in out, err
    assert child.returncode == 130

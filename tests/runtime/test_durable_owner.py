"""The death of the owner: a run with a state folder goes on where it was, and ends as if nothing had been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from durable_blocks import Radio
from durable_host import HOSTS
from durable_host import graph as spread
from durable_owner import graph
from runtime_blocks import Compare, Number, Ramp, Relay, Scale
from test_durable_hosts import Host, below
from test_flowgraph import wait_for
from test_hosts import free_ports

from semstream.runtime import Block, Flowgraph, FlowgraphError, Frame, In, Run
from semstream.runtime.durable.journal import StateError
from semstream.runtime.frames.recording import RecordingReader
from tools.bench_parts.crashes import Count, Keep, timeless
from tools.bench_parts.crashes import Number as OneNumber
from tools.bench_parts.owners import journal_bytes, killed_again_and_again

HERE = Path(__file__).parent
FRAMES = 300
ABOUT_BYTES = 18_000
"""Of the journal of so many."""


def command(tmp_path: Path, engine: str, **options: Any) -> list[str]:
    """Runs the graph in a program of its own."""
    given = {"frames": FRAMES, "engine": engine, "state_folder": str(tmp_path / "state"), "out": str(tmp_path / "out")}
    return [sys.executable, str(HERE / "durable_owner.py"), json.dumps(given | options)]


def recorded(path: Path) -> list[Any]:
    with RecordingReader(path) as reader:
        assert not reader.lost_bytes
        return [(kept.frame.seq, kept.frame.tags, kept.frame["x"].tolist()) for kept in reader]


def of(run: Run) -> Any:
    """The records of a run as a file has them, without the size of the recording, which holds times."""
    return without_bytes({name: timeless(records) for name, records in run.records.items()})


def without_bytes(records: Any) -> Any:
    return json.loads(
        json.dumps(
            {n: [{k: v for k, v in r.items() if k not in ("bytes", "path")} for r in records[n]] for n in records}
        )
    )


def without_recorder(records: Any) -> Any:
    return {name: kept for name, kept in records.items() if name != "recorder"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Any]]:
    """Records and recording of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("calm")
    run = graph(FRAMES, str(folder), durable=False).run(timeout=60)
    return of(run), recorded(folder / "totals.rec")


@pytest.mark.parametrize(("engine", "kills"), [("threads", 3), ("processes", 2)])
def test_a_program_that_is_killed_again_and_again_ends_as_if_nothing_had_been(
    engine: str, kills: int, calm: tuple[Any, list[Any]], tmp_path: Path
) -> None:
    program = command(tmp_path, engine, folder=str(tmp_path))
    deaths = killed_again_and_again(program, tmp_path / "state", kills, ABOUT_BYTES, seed=4, timeout=60)
    assert deaths.kills == kills
    assert without_bytes(json.loads((tmp_path / "out").read_text())) == calm[0]
    assert recorded(tmp_path / "totals.rec") == calm[1]
    assert names(tmp_path / "state") == ["children", "lock"]


def started(tmp_path: Path, **options: Any) -> Flowgraph:
    return graph(FRAMES, state_folder=tmp_path / "state", **options)


def interrupted(made: Flowgraph, sink: str, count: int, engine: str = "threads") -> Run:
    """Start a graph and stop it once a sink has published so many records."""
    run = made.start(engine)
    wait_for(lambda: len(run.records[sink]) >= count or run.finished)
    run.stop()
    assert run.failure is None
    assert not run.ended
    return run


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_a_run_that_was_stopped_goes_on_under_either_engine(
    engine: str, calm: tuple[Any, list[Any]], tmp_path: Path
) -> None:
    first = interrupted(started(tmp_path), "check", 30)
    reached = {name: list(records) for name, records in first.records.items()}
    given: list[Any] = []
    second = started(tmp_path).start(engine, on_record=lambda *record: given.append(record))
    assert second.wait(60).ended
    assert second.earlier == {name: len(records) for name, records in reached.items()}
    assert [second.records[name][: len(records)] for name, records in reached.items()] == list(reached.values())
    assert of(second) == without_recorder(calm[0])
    assert len(given) == sum(map(len, second.records.values())) - sum(second.earlier.values())
    restarts = second.counters()["blocks"]["check"]["restarts"]
    assert restarts == {"the program that had started it ended": 1}


def test_a_run_that_has_ended_is_there_again_until_it_is_discarded(tmp_path: Path) -> None:
    def chain() -> Flowgraph:
        made = Flowgraph("chain", durable=True, state_folder=tmp_path / "state")
        made.connect(Ramp(count=5), Number())
        return made

    first = chain().run(timeout=60)
    again = chain().run(timeout=60)
    assert again.ended
    assert again.records["number"] == first.records["number"]
    assert sum(again.earlier.values()) == 5
    again.discard_state()
    assert names(tmp_path / "state") == ["children", "lock"]
    anew = chain().run(timeout=60)
    assert sum(anew.earlier.values()) == 0
    assert len(anew.records["number"]) == 5


class LastWord(Block):
    """Sink that says at the end how much it has had, and in a file how it was ended."""

    number = In(OneNumber)
    state = ("_count",)

    def start(self) -> None:
        self._count = 0

    def process(self, frame: Frame) -> None:
        self._count += 1
        self.publish({"seq": frame.seq})

    def stop(self) -> None:
        self.publish({"count": self._count, "resumes": self.resumes, "restarts": self.restarts})


def test_what_a_block_says_when_it_is_stopped_counts_once_its_stream_has_ended(tmp_path: Path) -> None:
    def made() -> Flowgraph:
        words = Flowgraph("words", durable=True, state_folder=tmp_path / "state")
        words.connect(Count(count=FRAMES), LastWord())
        return words

    first = interrupted(made(), "last_word", 20)
    assert first.records["last_word"][-1]["resumes"] is True
    last = made().run(timeout=60).records["last_word"]
    assert [record["seq"] for record in last[:-1]] == [i for i in range(FRAMES) if i % 10 != 7]
    assert last[-1] == {"count": FRAMES * 9 // 10, "resumes": False, "restarts": 1}


def test_stopping_amid_two_sources_out_of_step_leaves_no_frame_out(tmp_path: Path) -> None:
    def made() -> Flowgraph:
        joined = Flowgraph("joined", durable=True, state_folder=tmp_path / "state")
        fast, slow, sink = Ramp(name="fast", count=40), Ramp(name="slow", count=40, every_s=0.004), Compare()
        joined.connect(fast, Relay(), sink.reference, credit=8)
        joined.connect(slow, sink.other)
        return joined

    for reached in (5, 20):
        interrupted(made(), "compare", reached)
    run = made().run(timeout=60)
    assert [record["seq"] for record in run.records["compare"]] == list(range(40))


def test_live_settings_are_in_force_when_the_run_goes_on(tmp_path: Path) -> None:
    def made() -> Flowgraph:
        steered = Flowgraph("steered", durable=True, state_folder=tmp_path / "state")
        steered.connect(Ramp(count=-1), Scale(), Number())
        return steered

    with made().start() as run:
        run.set("scale", gain=5.0)
        wait_for(lambda: is_scaled(run))
    with made().start() as run:
        assert run.settings("scale").gain == 5.0
        wait_for(lambda: len(run.records["number"]) > run.earlier["number"] + 5)
        assert is_scaled(run)


def is_scaled(run: Run) -> bool:
    last = run.records["number"][-1:]
    return bool(last) and last[0]["seq"] > 0 and last[0]["first"] == 5.0 * last[0]["seq"]


# -- who may have the folder ---------------------------------------------------------------------------------------


def test_two_programs_never_have_one_folder(tmp_path: Path) -> None:
    made = Flowgraph("long", durable=True, state_folder=tmp_path / "state")
    made.connect(Ramp(count=-1), Number())
    with made.start():
        done = subprocess.run(command(tmp_path, "threads"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"is in use by another program (process {os.getpid()}); stop that one" in done.stderr


def test_every_process_holds_the_folder_and_who_starts_next_waits_until_they_are_gone(tmp_path: Path) -> None:
    program = subprocess.Popen(command(tmp_path, "processes", frames=1_000_000))
    try:
        wait_for(lambda: journal_bytes(tmp_path / "state") > 2000)
        children = below(program.pid)
        held = str(tmp_path / "state" / "children")
        for pid in (program.pid, *children):
            assert held in map(os.path.realpath, Path(f"/proc/{pid}/fd").iterdir())
    finally:
        program.kill()
        program.wait()
    with graph(1_000_000, state_folder=tmp_path / "state").start() as run:
        assert run.earlier["check"]
        assert not [pid for pid in children if Path(f"/proc/{pid}/fd/0").exists()]


def test_a_folder_of_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    interrupted(started(tmp_path), "check", 1)
    head = (tmp_path / "state" / "run" / "journal.0").read_bytes()

    def refused(made: Flowgraph) -> str:
        with pytest.raises(StateError) as caught:
            made.start()
        assert "to begin anew" in str(caught.value)
        return str(caught.value)

    folder = tmp_path / "state"
    assert "blocks count settings count is 300 there and 301 here" in refused(graph(301, state_folder=folder))
    other = started(tmp_path)
    other.seed = 2
    assert "seed is 1 there and 2 here" in refused(other)
    more = started(tmp_path)
    more.connect(more.blocks["accumulate"], Keep(name="more"))
    assert "blocks more is here alone" in refused(more)
    (folder / "run" / "journal.0").write_bytes(head.replace(b"SEMJRNL1", b"SEMJRNL2"))
    assert "another version of semstream" in refused(started(tmp_path))
    (folder / "run" / "journal.0").write_bytes(b"something else")
    assert "no journal of semstream" in refused(started(tmp_path))
    (folder / "run" / "journal.0").write_bytes(head[:40] + b"!" + head[41:])
    assert "damaged in its header" in refused(started(tmp_path))


def test_what_cannot_be_kept_in_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlowgraphError, match=r"no edge is durable; give durable=True.*--durable"):
        graph(FRAMES, durable=False, state_folder=tmp_path / "state").start()
    with pytest.raises(FlowgraphError, match=r"engine 'ray' keeps no frames"):
        started(tmp_path).start("ray")
    radio = Flowgraph("radio", durable=True, restart="never", state_folder=tmp_path / "state")
    radio.connect(Radio(), Number())
    with pytest.raises(FlowgraphError, match=r"cannot give its frames again .*and no state folder"):
        radio.start()
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"cannot be used .*give another one"):
        graph(FRAMES, state_folder=tmp_path / "file").start()
    assert names(tmp_path) == ["file"]


# -- the journal ---------------------------------------------------------------------------------------------------


def test_a_torn_end_of_the_journal_is_cut_off(
    calm: tuple[Any, list[Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted(started(tmp_path), "check", 30)
    journal = tmp_path / "state" / "run" / "journal.0"
    whole = journal.stat().st_size
    with journal.open("ab") as file:
        file.write(journal.read_bytes()[-40:-7])  # as a death amid a write leaves it
    run = started(tmp_path).run(timeout=60)
    assert "the last 33 bytes of its journal were not whole and are cut off" in caplog.text
    assert journal.read_bytes()[whole : whole + 4] == b"ENTR"
    assert of(run)["check"] == calm[0]["check"]


def test_a_full_disk_under_the_journal_is_one_message_and_the_run_goes_on_once_there_is_room(
    calm: tuple[Any, list[Any]], tmp_path: Path
) -> None:
    full = command(tmp_path, "threads", file_limit=9000)
    done = subprocess.run(full, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "flowgraph 'crashes': the journal of the run cannot be written" in done.stderr
    assert "nothing that was acknowledged is lost: free some space there" in done.stderr
    assert "Traceback" not in done.stderr
    run = started(tmp_path).run(timeout=60)
    assert run.earlier["check"]
    assert of(run) == without_recorder(calm[0])


# -- several hosts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["mid", "rx"])
def test_a_host_whose_whole_program_was_killed_goes_on_among_the_others(victim: str, tmp_path: Path) -> None:
    ports, count = free_ports(3), 120
    calm = spread(free_ports(3), count, durable=False).run("threads", timeout=60)
    options = {"ports": ports, "count": count, "run_by": "threads", "state_folder": str(tmp_path / "state")}
    made = spread(ports, count)
    host = Host(victim, **options)
    runs = {name: made.only(name).start("threads") for name in HOSTS if name != victim}
    wait_for(lambda: journal_bytes(tmp_path / "state" / victim) > (3000 if victim == "rx" else 1))
    if victim != "rx":
        wait_for(lambda: len(runs["rx"].records["check"]) > 20)
    host.process.kill()
    host.process.communicate()
    told = Host(victim, **options).end()
    for run in runs.values():
        run.wait(60)
    records = told["records"] if victim == "rx" else runs["rx"].records
    for sink in ("check", "keep"):
        assert records[sink] == calm.records[sink]

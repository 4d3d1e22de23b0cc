"""Runs that end well, the same under both engines."""

from __future__ import annotations

import logging
import os
import threading
import time

import numpy as np
import pytest
from runtime_blocks import Collect, Compare, Ramp, Relay, Scale, Split, Twice, Where, seqs

from semstream.runtime import Block, Flowgraph, Run, SettingsError

ENGINES = ("threads", "processes")
both = pytest.mark.parametrize("engine", ENGINES)


def run(fg: Flowgraph, engine: str) -> Run:
    return fg.run(engine=engine, timeout=60)


@both
def test_frames_arrive_complete_in_order_with_tags_and_trace(engine: str) -> None:
    fg = Flowgraph(seed=3)
    fg.connect(Ramp(count=50), Scale(gain=3.0), Relay(), Collect())
    records = run(fg, engine).records["collect"]
    assert seqs(records) == list(range(50))
    assert [r["first"] for r in records] == [3.0 * i for i in range(50)]
    assert records[4]["tags"] == {"index": 4, "gain": 3.0}
    assert records[4]["hops"] == ["ramp", "scale", "relay"]


@pytest.mark.parametrize(("size", "credit"), [(0, 1), (1, 2), (100_000, 3)])
def test_empty_and_large_frames_pass_at_any_credit(size: int, credit: int) -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=30, size=size), Scale(), Collect(), credit=credit)
    assert seqs(run(fg, "threads").records["collect"]) == list(range(30))


@both
def test_a_lossless_diamond_with_a_short_and_a_long_path_does_not_deadlock(engine: str) -> None:
    fg = Flowgraph()
    source, sink = fg.add(Ramp(count=200)), fg.add(Compare())
    fg.connect(source, sink.reference, credit=1)
    fg.connect(source, Scale(), Relay(), Relay(name="b"), Relay(name="c"), Relay(name="d"), sink.other)
    result = run(fg, engine)
    assert seqs(result.records["compare"]) == list(range(200))
    assert result.records["compare"][9]["ratio"] == 2.0


@both
def test_replicas_share_the_work_and_order_is_restored(engine: str) -> None:
    fg = Flowgraph()
    scale = fg.add(Scale(slow_s=0.001), replicas=3)
    fg.connect(Ramp(count=120), scale, Collect())
    result = run(fg, engine)
    assert seqs(result.records["collect"]) == list(range(120))
    assert result.counters()["blocks"]["scale"]["frames_in"] == {"samples": 120}


def test_a_block_that_ends_leaves_those_in_its_process_to_go_on() -> None:
    fg = Flowgraph()
    fg.connect(fg.add(Ramp(count=3), process="ends"), Scale(slow_s=0.15), fg.add(Collect(), process="ends"))
    assert seqs(run(fg, "processes").records["collect"]) == [0, 1, 2]


def test_replicated_lanes_with_skips_and_a_join_behind_keep_order_and_lose_nothing_else() -> None:
    fg = Flowgraph()
    source, sink = fg.add(Ramp(count=150, skip_every=10)), fg.add(Compare())
    first, second = fg.add(Scale(name="first", slow_s=0.0005), 3), fg.add(Scale(name="second", skip_every=7), 3)
    fg.connect(source, first, second, sink.other)
    fg.connect(source, sink.reference)
    result = run(fg, "threads")
    expected = [i for i in range(150) if i % 10 != 1 and i % 7]
    assert seqs(result.records["compare"]) == expected
    counters = result.counters()["blocks"]
    assert counters["ramp"]["skips"] == {"odd one out": 15}
    skipped = sum(1 for i in range(150) if i % 10 != 1 and i % 7 == 0)
    assert counters["second"]["skips"] == {"multiple": skipped}
    assert counters["compare"]["drops"] == {"reference: unmatched": skipped}


@both
def test_a_skipped_frame_makes_no_join_wait(engine: str) -> None:
    fg = Flowgraph()
    source, sink = fg.add(Ramp(count=60)), fg.add(Compare())
    fg.connect(source, Scale(skip_every=1), sink.other)  # skips every frame
    fg.connect(source, sink.reference)
    result = run(fg, engine)
    assert result.records["compare"] == []
    assert result.counters()["blocks"]["compare"]["drops"] == {"reference: unmatched": 60}


def test_several_outputs_and_a_port_left_open() -> None:
    fg = Flowgraph()
    split, sink, join = fg.add(Split()), fg.add(Collect()), fg.add(Compare())
    source = Ramp(count=21)
    fg.connect(source, split)
    fg.connect(split.even, sink)
    fg.connect(split.all, join.reference)
    fg.connect(source, join.other)
    result = run(fg, "threads")
    assert seqs(result.records["collect"]) == list(range(0, 21, 2))
    assert seqs(result.records["compare"]) == list(range(21))


def test_a_renumbering_block_gives_a_sequence_of_its_own() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=10), Twice(), Collect())
    records = run(fg, "threads").records["collect"]
    assert seqs(records) == list(range(20))
    assert [r["first"] for r in records] == [float(i // 2) for i in range(20)]


def test_drop_oldest_keeps_frames_young_and_counts_what_it_drops() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=300, every_s=0.001), Collect(slow_s=0.02), policy="drop_oldest", credit=1)
    result = run(fg, "threads")
    got = seqs(result.records["collect"])
    assert got == sorted(got)
    edge = result.counters()["edges"]["ramp.out -> collect.samples"]
    assert edge["drops"]["drop_oldest"] == 300 - len(got) > 0
    assert got[-1] == 299
    assert max(r["age_ms"] for r in result.records["collect"]) < 200


def test_latest_beside_a_lossless_path_slows_nobody_down() -> None:
    fg = Flowgraph()
    source, slow, fast = fg.add(Ramp(count=200, every_s=0.001)), fg.add(Collect(name="slow", slow_s=0.05)), Collect()
    fg.connect(source, fast)
    fg.connect(source, slow, policy="latest", credit=1)
    result = run(fg, "threads")
    assert seqs(result.records["collect"]) == list(range(200))
    assert 0 < len(result.records["slow"]) < 100


def test_behind_a_slow_consumer_no_frame_is_old_at_credit_two() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=60), Collect(slow_s=0.01), credit=2)
    ages = [r["age_ms"] for r in run(fg, "threads").records["collect"]]
    assert np.median(ages) < 50  # 10 ms in its own process() included


def test_the_same_seed_gives_the_same_records_under_both_engines() -> None:
    results = []
    for engine in ENGINES:
        fg = Flowgraph(seed=11)
        source, sink = fg.add(Ramp(count=40, skip_every=9)), fg.add(Compare())
        fg.connect(source, fg.add(Scale(skip_every=4), replicas=2), sink.other)
        fg.connect(source, sink.reference)
        results.append(run(fg, engine).records)
    assert results[0] == results[1]
    assert len(results[0]["compare"]) > 20


def test_processes_are_separate_grouped_and_seeded_and_their_logs_come_home(caplog: pytest.LogCaptureFixture) -> None:
    fg = Flowgraph("placed", seed=42)
    a, b, c = Where(name="a"), Where(name="b"), Where(name="c")
    fg.add(a, process="together")
    fg.add(b, process="together")
    fg.connect(Ramp(count=2), a, b, c, Collect())
    with caplog.at_level(logging.WARNING, logger="semstream"):
        records = run(fg, "processes").records
    pids = {name: {r["pid"] for r in records[name]} for name in "abc"}
    assert pids["a"] == pids["b"]
    assert pids["c"] != pids["a"]
    assert os.getpid() not in pids["a"] | pids["c"]
    assert {r["seed"] for r in records["a"]} == {42}
    assert "frame 1" in [r.getMessage() for r in caplog.records if r.name == "semstream.placed.c"]


@both
def test_live_settings_change_between_frames_and_are_checked(engine: str) -> None:
    fg = Flowgraph()
    scale = fg.add(Scale(gain=1.0), replicas=2)
    fg.connect(Ramp(count=-1, every_s=0.002), scale, Collect())
    running = fg.start(engine)
    running.set("scale", gain=5.0)
    with pytest.raises(SettingsError, match=r"<= 10\.0, got 99"):
        running.set("scale", gain=99)
    with pytest.raises(SettingsError, match="fixed for a run; live settings here: gain"):
        running.set("scale", slow_s=1.0)
    with pytest.raises(SettingsError, match="no block 'nope'"):
        running.set("nope", gain=1.0)
    assert running.settings("scale").gain == 5.0
    reached = len(running.records["collect"])
    wait_for(lambda: len(running.records["collect"]) > reached + 20)
    running.stop()
    gains = [r["tags"]["gain"] for r in running.wait(5).records["collect"]]
    assert gains[-1] == 5.0
    assert set(gains) <= {1.0, 5.0}
    assert [r["changed"] for r in running.records["scale"]] == [["gain"], ["gain"]]
    with pytest.raises(SettingsError, match="has ended"):
        running.set("scale", gain=2.0)


def test_on_record_may_set_and_stop() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1, every_s=0.001), Scale(gain=1.0), Collect())
    seen: list[tuple[str, float]] = []

    def on_record(name: str, record: dict) -> None:
        if name == "collect":
            seen.append((name, record["tags"]["gain"]))
            if len(seen) == 5:
                running.set("scale", gain=4.0)
            if seen[-1][1] == 4.0:
                running.stop()

    running = fg.start(on_record=on_record)
    running.wait(20)
    assert seen[-1][1] == 4.0
    assert len(seen) == len(running.records["collect"])


def test_counters_and_summary_tell_what_happened() -> None:
    fg = Flowgraph("told")
    fg.connect(Ramp(count=30, size=1000), Scale(skip_every=5), Collect())
    result = run(fg, "threads")
    counters = result.counters()
    scale = counters["blocks"]["scale"]
    assert scale["frames_in"] == {"samples": 30}
    assert scale["frames_out"] == {"out": 24}
    assert scale["skips"] == {"multiple": 6}
    assert scale["work"]["count"] == 30
    assert 0 < scale["work"]["p50"] <= scale["work"]["p95"] <= scale["work"]["p99"] <= scale["work"]["max"]
    assert counters["edges"]["ramp.out -> scale.samples"]["bytes"] == 30 * 4000
    assert counters["edges"]["scale.out -> collect.samples"]["frames"] == 24
    text = result.summary()
    assert "told: finished" in text
    assert "scale: skipped 6 (multiple)" in text


@both
def test_stop_ends_an_endless_run_within_two_seconds_and_loses_nothing(engine: str) -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1), Scale(), Collect())
    running = fg.start(engine)
    wait_for(lambda: len(running.records["collect"]) > 100)
    begin = time.monotonic()
    running.stop()
    assert time.monotonic() - begin < 2.0
    assert running.finished
    records = running.wait(5).records["collect"]
    assert seqs(records) == list(range(len(records)))
    assert running.counters()["blocks"]["ramp"]["frames_out"]["out"] == len(records)


def test_a_flowgraph_can_run_again() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=5), Collect())
    assert run(fg, "threads").records.keys() == run(fg, "threads").records.keys() == {"ramp", "collect"}


def test_under_threads_the_users_own_instance_runs() -> None:
    fg = Flowgraph()
    sink = Collect()
    fg.connect(Ramp(count=5, size=50_000), sink)
    run(fg, "threads")
    assert [f.seq for f in sink.frames_seen] == list(range(5))
    assert not sink.frames_seen[0]["x"].flags.writeable


def test_a_block_left_without_work_still_ends() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=0), Scale(), Collect())
    for engine in ENGINES:
        assert run(fg, engine).records["collect"] == []


def wait_for(condition: object, seconds: float = 30.0) -> None:
    """Poll until the condition holds, and leave the interpreter to the threads that are waited for."""
    deadline, never = time.monotonic() + seconds, threading.Event()
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        never.wait(0.002)
        os.sched_yield()


def test_ports_are_bound_to_their_block() -> None:
    scale: Block = Scale(name="x")
    assert str(scale.port("out")) == "block 'x', port 'out'"

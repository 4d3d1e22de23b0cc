"""Frames that wait are given to a block together: fewer calls, and nothing else is different."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from runtime_blocks import Collect, Compare, Ramp, Scale, Together, seqs
from test_flowgraph import both

from semstream.runtime import Block, Flowgraph, FlowgraphError, Frame, PortError
from semstream.runtime.errors import SkipFrame
from semstream.testing import harness_of, run_block


def link(block: Block, credit: int = 4, **ramp: Any) -> Flowgraph:
    graph = Flowgraph("batch", credit=credit)
    graph.connect(Ramp(**{"count": 24} | ramp), block, Collect())
    return graph


def told(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(r["seq"], r["first"], r["tags"]) for r in records]


@both
def test_frames_that_wait_are_worked_on_together_and_come_out_as_one_by_one(engine: str) -> None:
    run = link(Together(skip_every=5), skip_every=7).run(engine=engine, timeout=60)
    alone = link(Scale(skip_every=5), skip_every=7).run(engine="threads", timeout=60)
    assert told(run.records["collect"]) == told(alone.records["collect"])
    (sizes,) = [r["sizes"] for r in run.records["together"]]
    assert 2 <= max(sizes) <= 4
    mine, theirs = (r.counters()["blocks"][name] for r, name in ((run, "together"), (alone, "scale")))
    for name in ("frames_in", "frames_out", "skips"):
        assert mine[name] == theirs[name]
    assert mine["work"]["count"] == mine["wait"]["count"] == theirs["work"]["count"]


@both
def test_no_more_wait_than_the_edge_has_credit_for(engine: str) -> None:
    run = link(Together(most=100), credit=2).run(engine=engine, timeout=60)
    assert set(run.records["together"][-1]["sizes"]) <= {2}
    alone = link(Together(most=100), credit=1).run(engine=engine, timeout=60)
    assert alone.records["together"][-1]["sizes"] == []
    assert seqs(alone.records["collect"]) == list(range(24))


@both
def test_one_frame_that_fails_ends_the_run_behind_those_before_it(engine: str) -> None:
    with pytest.raises(FlowgraphError) as caught:
        link(Together(fail_at=10)).run(engine=engine, timeout=60)
    assert "block 'together' failed in process(): RuntimeError: broken together" in caught.value.summary
    assert "runtime_blocks.py" in caught.value.traceback_text
    assert caught.value.run is not None
    assert seqs(caught.value.run.records["collect"]) == list(range(10))


def test_most_is_live() -> None:
    graph = link(Together(most=1), count=400)
    changed: list[int] = []

    def once(name: str, record: dict[str, Any]) -> None:
        if name == "collect" and not changed:
            changed.append(record["seq"])
            run.set("together", most=3)

    run = graph.start(engine="threads", on_record=once)
    run.wait(timeout=60)
    sizes = run.records["together"][-1]["sizes"]
    assert sizes
    assert max(sizes) <= 3
    assert seqs(run.records["collect"]) == list(range(400))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("raises SkipFrame", "give it in that frame's place"), ("too many", "gave 5 results for 4 frames")],
)
def test_a_batch_without_a_result_for_each_frame_is_refused_in_words(wrong: str, words: str) -> None:
    block = Together(wrong=wrong)
    run_block(block, [])
    with pytest.raises(PortError, match=words):
        harness_of(block).give_batch([Frame({"x": np.zeros(2, np.float32)}, seq) for seq in range(4)])


def test_a_block_with_several_inputs_has_no_batches() -> None:
    with pytest.raises(
        PortError, match=r"process_batch\(\) is for a block with one input, got \['reference', 'other'\]"
    ):
        type("Both", (Compare,), {"process_batch": lambda self, frames: [SkipFrame("never") for _ in frames]})

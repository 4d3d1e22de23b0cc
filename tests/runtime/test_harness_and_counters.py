"""semstream.testing, and the histogram behind the counters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_blocks import Collect, Compare, Failing, Ramp, Scale, Split, Twice

from semstream.runtime import Block, Frame, PortError, SettingsError, SkipFrame
from semstream.runtime.counters import Histogram
from semstream.testing import Harness, harness_of, run_block, run_source


def ramp(n: int) -> list[Frame]:
    return [Frame({"x": np.full(2, i, np.float32)}, tags={"index": i}) for i in range(n)]


def test_a_block_runs_without_a_flowgraph_and_inherits_place_and_tags() -> None:
    out = run_block(Scale(gain=3.0), ramp(4))
    assert [f.seq for f in out] == [0, 1, 2, 3]
    assert out[2]["x"].tolist() == [6.0, 6.0]
    assert out[2].tags == {"index": 2, "gain": 3.0}


def test_skips_and_records_are_kept() -> None:
    scale, sink = Scale(skip_every=2), Collect()
    assert [f.seq for f in run_block(scale, ramp(4))] == [1, 3]
    assert harness_of(scale).skips == ["multiple", "multiple"]
    assert run_block(sink, ramp(2)) == []
    assert [r["seq"] for r in harness_of(sink).records] == [0, 1]


def test_a_join_matches_by_seq_and_counts_what_is_left() -> None:
    join = Compare()
    frames = ramp(5)
    for i, frame in enumerate(frames):
        frame.seq = i
    run_block(join, {"reference": frames, "other": [f for f in frames if f.seq != 2]})
    assert [r["seq"] for r in harness_of(join).records] == [0, 1, 3, 4]
    assert harness_of(join).unmatched == 1


def test_several_outputs_come_by_port_and_renumbering_is_done() -> None:
    out = run_block(Split(), ramp(4))
    assert [f.seq for f in out["even"]] == [0, 2]
    assert [f.seq for f in run_block(Twice(), ramp(2))] == [0, 1, 2, 3]


def test_a_source_is_numbered_stamped_and_cut() -> None:
    frames = run_source(Ramp(count=-1, skip_every=4), 5)
    assert [f.seq for f in frames] == [0, 2, 3, 4, 6]
    assert all(f.t0_ns > 0 for f in frames)
    assert len(run_source(Ramp(count=3))) == 3


def test_wrong_input_and_output_are_refused_as_in_a_run() -> None:
    with pytest.raises(PortError, match="expected dtype float32, got float64"):
        run_block(Scale(), [Frame({"x": np.zeros(2)})])
    with pytest.raises(PortError, match="expected dtype float32, got float64"):
        run_block(Failing(where="wrong dtype"), ramp(1))


def test_live_settings_change_in_the_harness() -> None:
    harness = Harness(Scale(gain=1.0))
    harness.set(gain=2.0)
    harness.give(ramp(2)[1])
    assert harness.outputs["out"][0]["x"].tolist() == [2.0, 2.0]
    with pytest.raises(SettingsError):
        harness.set(slow_s=1.0)


def test_raising_skip_in_a_generator_says_what_to_do() -> None:
    class Wrong(Ramp):
        def frames(self):
            yield Frame({"x": np.zeros(1, np.float32)})
            raise SkipFrame("no")

    with pytest.raises(PortError, match=r"call self\.skip"):
        run_source(Wrong(), 5)


def test_a_block_that_gives_something_else_is_told() -> None:
    class Wrong(Scale):
        def process(self, frame: Frame) -> int:  # type: ignore[override]
            return 3

    with pytest.raises(PortError, match="gave a int; expected a Frame"):
        run_block(Wrong(), ramp(1))


def test_pass_through_keeps_the_inputs_own_trace() -> None:
    class Same(Scale):
        def process(self, frame: Frame) -> Frame:
            return frame

    frame = ramp(1)[0]
    (out,) = run_block(Same(), [frame])
    assert frame.trace == []
    assert [hop[0] for hop in out.trace] == ["same"]


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=300), st.floats(0, 100))
def test_a_percentile_is_off_by_a_few_percent_at_most(values: list[int], percent: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = max(16.0, float(np.percentile(values, percent, method="inverted_cdf")))
    assert histogram.percentile(percent) == pytest.approx(exact, rel=0.04, abs=1)


def test_histograms_of_replicas_add_up() -> None:
    a, b, both = Histogram(), Histogram(), Histogram()
    for i in range(1000):
        (a if i % 3 else b).add(i * 1000)
        both.add(i * 1000)
    a.merge(b.state())
    assert a.summary() == both.summary()


def test_the_base_block_says_what_is_missing() -> None:
    class Nothing(Block):
        pass

    with pytest.raises(NotImplementedError, match=r"needs frames\(\)"):
        next(Nothing().frames())

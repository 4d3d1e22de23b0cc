"""What connect() and the constructor of a block refuse, and what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from runtime_blocks import Collect, Compare, Failing, Pair, Ramp, Relay, Samples, Scale, Split, Twice

from semstream.runtime import (
    ArraySpec,
    Block,
    CurveKeys,
    Flowgraph,
    FlowgraphError,
    Frame,
    In,
    Out,
    PortError,
    PortType,
    SemstreamError,
    SettingsError,
)


class PairSink(Block):
    pair = In(Pair)


class Wide(Block):
    samples = In(PortType("Samples", {"x": ArraySpec("float64", ("N",))}))


class Flat(Block):
    samples = In(PortType("Samples", {"x": ArraySpec("float32", ("N", 2))}))


class More(Block):
    samples = In(PortType("Samples", {"x": ArraySpec("float32", ("N",)), "y": ArraySpec("float32", ("N",))}))


@pytest.mark.parametrize(
    ("sink", "words"),
    [
        (PairSink, "block 'pair_sink', port 'pair': expected Pair(x: float32[N], y: float32[N]), got Samples"),
        (Wide, "expected dtype float64, got float32"),
        (Flat, "expected shape (N, 2), got (N)"),
        (More, "expected an array 'y'"),
    ],
)
def test_connect_says_block_port_expected_got_and_what_to_do(sink: type[Block], words: str) -> None:
    fg = Flowgraph()
    with pytest.raises(PortError) as caught:
        fg.connect(Ramp(), sink())
    assert words in str(caught.value)
    assert "from block 'ramp', port 'out'" in str(caught.value)
    assert "put a converting block between" in str(caught.value)
    assert fg.edges == []


def test_a_block_that_passes_frames_on_is_seen_through_by_the_check() -> None:
    with pytest.raises(PortError, match="expected Pair"):
        Flowgraph().connect(Ramp(), Relay(), PairSink())
    fg = Flowgraph()
    relay, sink = Relay(), PairSink()
    fg.connect(relay, sink)
    with pytest.raises(PortError, match="expected Pair"):
        fg.connect(Ramp(), relay)


def test_optional_arrays_of_the_receiver_may_be_missing() -> None:
    wants = PortType("Samples", {"x": ArraySpec("float32", ("*",))}, {"weight": ArraySpec("float32", ("N",))})
    assert Samples.refusal(wants) is None
    refusal = wants.refusal(Samples)
    assert refusal is not None
    assert "does not declare" in refusal


def test_a_block_with_several_ports_needs_the_port_named() -> None:
    with pytest.raises(PortError, match=r"name the port, e\.g\. compare\.reference"):
        Flowgraph().connect(Ramp(), Compare())
    with pytest.raises(PortError, match="last of a chain"):
        Flowgraph().connect(Collect(), Collect())


def test_an_input_takes_one_edge() -> None:
    fg = Flowgraph()
    sink = Collect()
    fg.connect(Ramp(), sink)
    with pytest.raises(PortError, match=r"already takes ramp\.out -> collect\.samples"):
        fg.connect(Ramp(), sink)


def test_a_loop_is_refused_with_its_path() -> None:
    fg = Flowgraph()
    a, b = Scale(name="a"), Scale(name="b")
    fg.connect(a, b)
    with pytest.raises(PortError, match="a -> b -> a"):
        fg.connect(b, a)


def test_an_unconnected_input_is_named_at_start() -> None:
    fg = Flowgraph()
    sink = fg.add(Compare())
    fg.connect(Ramp(), sink.reference)
    with pytest.raises(FlowgraphError, match="block 'compare', port 'other'"):
        fg.run()


def test_names_are_unique() -> None:
    fg = Flowgraph()
    assert [fg.add(Scale()).name, fg.add(Scale()).name, fg.add(Scale()).name] == ["scale", "scale_2", "scale_3"]
    with pytest.raises(FlowgraphError, match="already has a block 'scale'"):
        fg.add(Scale(name="scale"))


@pytest.mark.parametrize("policy", ["", "drop", 3])
def test_an_unknown_policy_is_refused(policy: str) -> None:
    with pytest.raises(PortError, match="block, drop_oldest, latest"):
        Flowgraph().connect(Ramp(), Collect(), policy=policy)


def test_replicas_are_refused_where_they_make_no_sense() -> None:
    fg = Flowgraph()
    for block in (Ramp(), Compare(), Twice()):
        with pytest.raises(FlowgraphError, match="cannot have replicas"):
            fg.add(block, replicas=2)
    a, b = fg.add(Scale(name="a"), replicas=2), fg.add(Scale(name="b"), replicas=3)
    with pytest.raises(PortError, match="parallel lanes"):
        fg.connect(a, b)


def test_unknown_settings_and_ranges_are_said_in_words() -> None:
    with pytest.raises(SettingsError, match="no setting 'gian'; there are: gain, slow_s, skip_every"):
        Scale(gian=1.0)
    with pytest.raises(SettingsError, match=r"setting 'gain': expected float >= 0\.0 and <= 10\.0, got 11\.0"):
        Scale(gain=11.0)
    with pytest.raises(SettingsError, match=r"expected float >= 0\.0 and <= 100\.0 V, got -1"):
        Ramp(value=-1)
    with pytest.raises(SemstreamError, match="letters, digits"):
        Scale(name="a b")


def test_settings_are_read_only() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Scale().settings.gain = 3.0


def test_an_unknown_port_and_engine_are_named() -> None:
    with pytest.raises(PortError, match="has no port 'nope'; it has inputs"):
        Split().port("nope")
    fg = Flowgraph()
    fg.connect(Ramp(), Collect())
    with pytest.raises(FlowgraphError, match="threads, processes"):
        fg.run(engine="fibres")
    with pytest.raises(FlowgraphError, match="has no blocks"):
        Flowgraph("empty").run()


def test_a_class_inside_a_function_is_refused_by_the_processes_engine() -> None:
    class Local(Block):
        out = Out(Samples)

    fg = Flowgraph()
    fg.connect(Local(), Collect())
    with pytest.raises(FlowgraphError, match="move it to the top level of a module, or use engine='threads'"):
        fg.run(engine="processes")


@pytest.mark.parametrize(
    "endpoint", ["tcp://0.0.0.0:5555", "tcp://192.168.1.4:5555", "tcp://*:5555", "tcp://[::]:5555"]
)
def test_listening_beyond_loopback_without_keys_is_refused_with_the_way_out(endpoint: str) -> None:
    fg = Flowgraph()
    with pytest.raises(FlowgraphError, match=r"127\.0\.0\.1.*CurveKeys"):
        fg.listen(Ramp(), endpoint)
    with pytest.raises(FlowgraphError, match="CurveKeys"):
        fg.listen(Ramp(), endpoint, curve=CurveKeys.generate())
    fg.listen(Ramp(), endpoint, curve=CurveKeys.generate(clients=("x" * 40,)))


@pytest.mark.parametrize("endpoint", ["5555", "tcp://localhost", "tcp://localhost:0", "tcp://a:99999", "http://a:1"])
def test_a_malformed_endpoint_is_named(endpoint: str) -> None:
    with pytest.raises(FlowgraphError, match="expected an endpoint tcp://HOST:PORT"):
        Flowgraph().dial(endpoint, Collect())


def test_frame_replace_merges_tags_and_keeps_the_place() -> None:
    frame = Frame({"x": np.zeros(1)}, 4, "cam", 9, {"a": 1, "b": 1}, [["s", 1]])
    other = frame.replace({"y": np.ones(1)}, {"b": 2})
    assert (other.seq, other.stream, other.t0_ns, other.tags) == (4, "cam", 9, {"a": 1, "b": 2})
    assert "x" in frame
    assert "x" not in other
    assert frame.tags == {"a": 1, "b": 1}


def test_failing_is_a_block_like_any_other() -> None:
    assert Failing(where="x").inputs.keys() == {"samples"}


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3}, {"name": "n" * 300}, {"arrays": []}, {"arrays": {"a": ["(2,,)f8", [1]]}},
        {"arrays": {"a": ["O", [1]]}},
        {"arrays": {"a": ["uint8", 3]}}, {"arrays": {"a": ["uint8", [-1]]}},
        {"arrays": {"a": ["uint8", [None]]}},
        {"arrays": {"a": ["uint8", [1] * 17]}}, {"arrays": {"a": ["f" * 10**6, [1]]}},
        {"arrays": {3: ["uint8", [1]]}},
        {"arrays": {f"a{i}": ["uint8", [1]] for i in range(65)}}, {"optional": None},
    ],
    ids=lambda change: repr(change)[:40],
)  # fmt: skip
def test_a_foreign_description_that_is_no_port_type_is_refused_in_few_words(change: dict[str, Any]) -> None:
    good = PortType("Image", {"image": ArraySpec("uint8", ("H", "W", 3))}, {"mask": ArraySpec("bool", ("*",))})
    assert PortType.from_description(good.describe()) == good
    with pytest.raises(ValueError, match="not a port type") as caught:
        PortType.from_description(good.describe() | change)
    assert len(str(caught.value)) < 300

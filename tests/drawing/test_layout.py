"""The drawing of flowgraphs, checked by geometry: nothing cut, nothing overlapping, no line through a box."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from geometry import faults
from hypothesis import example, given, settings
from hypothesis import strategies as st

from semstream.commands.opening import open_flowgraph
from semstream.commands.picture import diagram
from semstream.drawing import Arrow, Box, Diagram, branches, lay_out
from semstream.drawing.lanes import Way, lanes, sampled

FLOWGRAPHS = Path(__file__).resolve().parents[2] / "flowgraphs"
SHIPPED = ["awgn_link.py", "fading_link.py", "adaptive_link.py", "custom_block.py"]
SHIPPED += sorted(path.name for path in FLOWGRAPHS.glob("*.yaml"))
LABELS = [(), ("Image",), ("ClassifiedFeatures", "drop_oldest")]


def drawing(count: int, edges: list[tuple[int, int]], label: tuple[str, ...] = ("Image",), name: str = "b") -> Diagram:
    """Boxes b0, b1, … and arrows between them, in branches as a flowgraph has them."""
    names = [f"{name}{i}" for i in range(count)]
    ends = [(names[a], names[b]) for a, b in edges]
    branch = branches(names, ends)
    boxes = tuple(Box(n, (n, "Class"), branch=branch.get(n, "")) for n in names)
    return Diagram("drawn", boxes, tuple(Arrow(a, b, label) for a, b in ends))


@st.composite
def diagrams(draw: st.DrawFn) -> Diagram:
    """Chains, fans, joins and loops of 1 to 40 boxes, some with long names."""
    count = draw(st.integers(1, 40))
    names = [f"{draw(st.sampled_from(['b', 'quantizer', 'x' * 60, 'größe', '变']))}_{i}" for i in range(count)]
    back = draw(st.sampled_from([1, 2, 4, 40]))
    ends = [(i - draw(st.integers(1, min(i, back))), i) for i in range(1, count)]
    numbers = st.integers(0, count - 1)
    ends += draw(st.lists(st.tuples(numbers, numbers), max_size=4))
    if draw(st.booleans()):
        ends = [(b, a) for a, b in ends]
    edges = [(names[a], names[b]) for a, b in ends]
    branch = branches(names, edges) if draw(st.booleans()) else {}
    boxes = tuple(Box(n, (n, "Class") if len(n) % 2 else (n,), branch=branch.get(n, "")) for n in names)
    return Diagram("drawn", boxes, tuple(Arrow(a, b, draw(st.sampled_from(LABELS))) for a, b in edges))


@pytest.mark.parametrize("file", SHIPPED)
def test_every_shipped_flowgraph_is_drawn_without_fault(file: str) -> None:
    layout = lay_out(diagram(open_flowgraph(FLOWGRAPHS / file)))
    assert faults(layout) == []
    assert 0.9 <= layout.width / layout.height <= 2.3


@pytest.mark.parametrize("side", ["transmit", "receive"])
def test_a_flowgraph_with_ends_in_another_one_is_drawn_without_fault(
    side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(FLOWGRAPHS), *sys.path])
    import two_processes

    shown = diagram(getattr(two_processes, side)())
    assert {box.name for box in shown.boxes if box.kind == "outside"} == {
        "tcp://127.0.0.1:5555",
        "tcp://127.0.0.1:5556",
    }
    assert sum(arrow.dashed for arrow in shown.arrows) == 2
    assert faults(lay_out(shown)) == []


def looped() -> Diagram:
    """A loop that Graphviz would draw through its box."""
    boxes = [Box(f"b_{i}", (f"b_{i}", "Class"), "between", "b_6" if i > 1 else "") for i in range(7)]
    edges = [(0, 1), (0, 2), (2, 3), (3, 4), (4, 5), (5, 6), (3, 3)]
    return Diagram("drawn", tuple(boxes), tuple(Arrow(f"b_{a}", f"b_{b}", (), False) for a, b in edges))


@settings(max_examples=60, deadline=None)
@given(diagrams())
@example(drawing(1, []))
@example(drawing(2, [(0, 1), (0, 1), (1, 0)]))
@example(drawing(1, [(0, 0)]))
@example(drawing(2, [(0, 0), (0, 0), (0, 1), (1, 1)], (), "x" * 60))
@example(looped())
@example(drawing(5, [(0, 1), (1, 2), (2, 3), (3, 4), (2, 2), (2, 2), (0, 0), (4, 1)], ("Features", "latest")))
@example(drawing(40, [(0, i) for i in range(1, 40)]))
@example(drawing(40, [(i, 39) for i in range(39)]))
@example(drawing(12, [*((i, i + 1) for i in range(11)), (11, 0), (7, 2)], ("Features", "latest")))
@example(drawing(25, [(i, i + 1) for i in range(24)], name="x" * 60))
def test_no_graph_is_drawn_with_a_fault(shown: Diagram) -> None:
    assert faults(lay_out(shown)) == []


@pytest.mark.parametrize("count", [5, 8, 10, 12, 17, 25, 40])
def test_a_chain_of_any_length_is_about_as_wide_as_high_or_twice(count: int) -> None:
    layout = lay_out(drawing(count, [(i, i + 1) for i in range(count - 1)]))
    assert 0.9 <= layout.width / layout.height <= 2.3


@pytest.mark.parametrize("edges", [[(0, i) for i in range(1, 30)], [(i, 29) for i in range(29)]])
def test_a_fan_is_no_tower(edges: list[tuple[int, int]]) -> None:
    layout = lay_out(drawing(30, edges))
    assert 0.7 <= layout.width / layout.height <= 2.3


def test_arrows_run_to_the_right_in_a_row_and_the_layout_is_the_same_each_time() -> None:
    shown = drawing(3, [(0, 1), (1, 2)])
    layout = lay_out(shown)
    assert lay_out(shown) == layout
    assert layout.boxes["b0"][0] < layout.boxes["b1"][0]


@pytest.mark.parametrize(("near", "dx", "word"), [("b0", 20, "overlap"), ("b1", 5, "border"), ("b1", 4000, "leaves")])
def test_the_checks_find_a_box_in_a_wrong_place(near: str, dx: float, word: str) -> None:
    good = lay_out(drawing(4, [(0, 1), (1, 2), (2, 3)]))
    x, y, width, height = good.boxes[near]
    found = " ".join(faults(replace(good, boxes={**good.boxes, "b1": (x + dx, y, width, height)})))
    assert word in found


def test_the_checks_find_an_arrow_through_a_box_and_one_that_is_cut() -> None:
    good = lay_out(drawing(3, [(0, 1), (1, 2), (0, 2)], ()))
    ends = good.arrows[2].points[0], good.arrows[2].points[-1]
    x, y, width, height = good.boxes["b1"]
    for detour, words in (((x + width / 2, y + height / 2), "runs through b1"), ((-5.0, 5.0), "leaves the picture")):
        wrong = replace(good.arrows[2], points=(ends[0], detour, ends[1]))
        assert words in " ".join(faults(replace(good, arrows=(*good.arrows[:2], wrong))))


def test_a_branch_is_what_leads_to_one_of_several_sinks() -> None:
    names = ["source", "a", "a.sink", "b", "b.sink", "alone"]
    edges = [("source", "a"), ("a", "a.sink"), ("source", "b"), ("b", "b.sink"), ("source", "alone")]
    assert branches(names, edges) == {"a": "a.sink", "a.sink": "a.sink", "b": "b.sink", "b.sink": "b.sink"}
    assert branches(["a", "b"], [("a", "b")]) == {}
    assert branches(["a", "b"], [("a", "b"), ("b", "a")]) == {}


def test_ways_from_row_to_row_have_lanes_of_their_own() -> None:
    ways = [Way(0, 1, 10.0, 5.0), Way(0, 1, 30.0, 25.0), Way(0, 2, 50.0, 5.0), Way(2, 0, 10.0, 20.0)]
    plan = lanes(ways, [(100.0, 60.0), (80.0, 40.0), (90.0, 40.0)], 20.0)
    turns = {(round(x), round(y)) for route in plan.routes for x, y in route[1:-1]}
    assert len(turns) == 4 * len(ways)
    for (_, height), top, below in zip([(100, 60), (80, 40)], plan.tops, plan.tops[1:], strict=False):
        assert below > top + height
    assert all(x > 100 or x <= 0 for route in plan.routes for x, _ in route[1:])


def test_a_curve_goes_from_its_first_point_to_its_last() -> None:
    points = sampled([(0.0, 0.0), (1.0, 2.0), (3.0, 2.0), (4.0, 0.0)])
    assert points[0] == (0, 0)
    assert points[-1] == (4, 0)
    assert max(y for _, y in points) == pytest.approx(1.5)

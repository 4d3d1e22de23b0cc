"""The flowgraph on the live page: the same layout as `semstream graph`, numbers that fit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from test_monitor import graph_of

from semstream.drawing.diagram import NOTE_SIZE, text_width
from semstream.monitor.page.flow import WIDEST_NOTE, FlowDrawing, diagram, is_probe, numbers
from semstream.monitor.snapshot import Watch


@pytest.fixture
def snapshot() -> dict[str, Any]:
    return Watch(graph_of(12).run()).snapshot()


def parts(snapshot: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    blocks = {name: block for name, block in snapshot["blocks"].items() if not is_probe(block)}
    return blocks, [edge for edge in snapshot["edges"] if edge["from"] in blocks and edge["to"] in blocks]


def test_names_stand_in_full_and_probes_are_left_out(snapshot: dict[str, Any]) -> None:
    still = FlowDrawing().parts(snapshot)["flow"]
    for name in parts(snapshot)[0]:
        assert f">{name}</text>" in still
    assert ".probe" not in still


def test_an_update_writes_numbers_and_leaves_the_picture(snapshot: dict[str, Any]) -> None:
    drawing = FlowDrawing()
    before = drawing.parts(snapshot)
    next(iter(snapshot["blocks"].values()))["rate"] = 123.4
    after = drawing.parts(snapshot)
    assert after["flow"] is before["flow"]
    assert "123.4/s" in after["numbers"]
    assert len(after["numbers"]) < len(after["flow"])


def test_another_flowgraph_is_another_picture(snapshot: dict[str, Any]) -> None:
    drawing = FlowDrawing()
    before = drawing.parts(snapshot)
    name = parts(snapshot)[1][-1]["to"]
    snapshot["blocks"] = {key: block for key, block in snapshot["blocks"].items() if key != name}
    assert f">{name}</text>" not in drawing.parts(snapshot)["flow"]
    assert f">{name}</text>" in before["flow"]


def test_lost_frames_and_the_slowest_block_are_marked(snapshot: dict[str, Any]) -> None:
    blocks, edges = parts(snapshot)
    name = edges[0]["to"]
    blocks[name]["counters"]["skips"] = {"size": 2}
    edges[0]["drops"] = {"late": 3}
    edges[0]["policy"] = "block"
    now = numbers(blocks, edges)
    assert now.warned == [0]
    assert "−3" in now.labels[0]
    assert now.borders[name] != now.borders.get(next(n for n in blocks if n != name))


def test_numbers_fit_into_their_boxes(snapshot: dict[str, Any]) -> None:
    blocks, edges = parts(snapshot)
    for block in blocks.values():
        block["rate"] = 9999.9
        block["counters"]["work"]["p50"] = 9999.9
        block["counters"]["age"]["p50"] = 999_999.0
    room = text_width(WIDEST_NOTE, NOTE_SIZE)
    assert all(text_width(note, NOTE_SIZE) <= room for note in numbers(blocks, edges).notes.values())
    assert all(re.fullmatch(r"q 000 −00000", arrow.label[0]) for arrow in diagram("x", blocks, edges).arrows)

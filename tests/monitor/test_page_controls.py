"""What the page steers by: found by settings, moved together; and the walk of a sweep that somebody watches."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
from test_monitor import graph_of, wait_for

from blocks import SnrSweep
from semstream.monitor.client import MonitorClient
from semstream.monitor.page.controls import all_settings, changes, main_controls, sweep_changes, typed
from semstream.monitor.page.server import request_of
from semstream.monitor.service import MonitorService
from semstream.monitor.snapshot import describe_settings
from semstream.monitor.walk import Walk
from semstream.runtime import Flowgraph
from semstream.testing import Harness

sys.path.append(str(Path(__file__).resolve().parents[2] / "flowgraphs"))


def standing(graph: Flowgraph, last: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """As much of a snapshot as controls look at, of a graph that does not run."""
    blocks = {
        name: {"class": type(block).__name__, "settings": describe_settings(block.settings)}
        for name, block in graph.blocks.items()
    }
    edges = [{"from": e.sender.block.name, "to": e.receiver.block.name} for e in graph.edges if e.sender and e.receiver]
    return {"blocks": blocks, "edges": edges, "last": last or []}


def probed(name: str) -> Flowgraph:
    from blocks.probe import add_probes

    graph: Flowgraph = __import__(name).flowgraph()
    add_probes(graph)
    return graph


def by_id(snapshot: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {control["id"]: control for control in main_controls(snapshot)}


def test_the_link_is_steered_by_snr_channel_bits_and_allocation_of_all_branches() -> None:
    snapshot = standing(probed("awgn_link"), [{"snr_db": 4.0}])
    controls = by_id(snapshot)
    assert list(controls) == ["snr", "channel", "bits", "scheme"]
    assert controls["snr"] | {"value": 4.0, "sweeping": True, "low": -5.0, "high": 30.0} == controls["snr"]
    assert (controls["channel"]["value"], controls["bits"]["value"]) == ("awgn", 3.0)
    assert not any(control["scopes"] for control in controls.values())
    assert changes(snapshot, "snr", 7) == [("snr_sweep", {"snr_db": [7.0]})]
    assert [block for block, _ in changes(snapshot, "channel", "rician")] == [
        "fading_channel", "fading_channel_2", "fading_channel_3",
    ]  # fmt: skip
    assert changes(snapshot, "bits", 2.5) == [
        ("non_uniform_quantizer", {"bits": 2.5}), ("uniform_quantizer", {"bits": 2.5}),
    ]  # fmt: skip
    assert changes(snapshot, "scheme", "uniform") == [("non_uniform_quantizer", {"scheme": "uniform"})]


def test_branches_that_begin_apart_can_be_moved_alone() -> None:
    snapshot = standing(probed("fading_link"))
    channel = by_id(snapshot)["channel"]
    assert channel["value"] is None
    assert channel["scopes"] == ["awgn", "rayleigh", "rician", "composite"]
    ((block, values),) = changes(snapshot, "channel", "rician", "rayleigh")
    assert values == {"channel": "rician"}
    assert snapshot["blocks"][block]["settings"][0]["value"] == "rayleigh"
    assert len(changes(snapshot, "channel", "awgn")) == 4


def test_names_of_blocks_do_not_matter_and_what_is_not_there_is_not_shown() -> None:
    from blocks import FadingChannel, PowerNormalizer

    graph = Flowgraph("odd")
    graph.connect(PowerNormalizer(), FadingChannel(name="ether", snr_db=3))
    snapshot = standing(graph)
    controls = by_id(snapshot)
    assert list(controls) == ["snr", "channel"]
    assert (controls["snr"]["value"], controls["snr"]["sweeping"]) == (3.0, False)
    assert changes(snapshot, "snr", 12.5) == [("ether", {"snr_db": 12.5})]
    assert sweep_changes(snapshot, True) == []


@pytest.mark.parametrize(
    ("control", "value", "scope"),
    [
        ("bits", 3, ""),
        ("volume", 3, ""),
        ("channel", 3, ""),
        ("snr", "loud", ""),
        ("snr", 3, "nobody"),
        ("snr", [], ""),
    ],
)
def test_what_no_control_can_do_is_refused_in_words(control: str, value: Any, scope: str) -> None:
    from blocks import FadingChannel, PowerNormalizer

    graph = Flowgraph("odd")
    graph.connect(PowerNormalizer(), FadingChannel())
    with pytest.raises(ValueError, match=r"no control|got"):
        changes(standing(graph), control, value, scope)


def test_a_sweep_is_held_at_the_snr_at_hand_and_goes_on_as_it_began() -> None:
    graph = Flowgraph("swept")
    graph.add(SnrSweep(snr_db=[1, 4, math.inf]))
    snapshot = standing(graph, [{"snr_db": 4.0}])
    assert sweep_changes(snapshot, False) == [("snr_sweep", {"snr_db": [4.0]})]
    snapshot["blocks"]["snr_sweep"]["settings"][0]["value"] = [4.0]
    assert by_id(snapshot)["snr"] | {"value": 4.0, "sweeping": False} == by_id(snapshot)["snr"]
    ((_, values),) = sweep_changes(snapshot, True)
    assert values["snr_db"] == [1.0, 4.0, "Infinity"] or values["snr_db"] == [1.0, 4.0, math.inf]
    graph.blocks["snr_sweep"].settings.model_validate(values)


def test_every_live_setting_is_behind_the_controls() -> None:
    blocks = {block["block"]: [s["name"] for s in block["settings"]] for block in all_settings(standing(graph_of(1)))}
    assert blocks["noise"] == ["step", "kind", "on"]
    assert "pictures" not in blocks


def test_what_is_typed_is_a_number_a_list_or_a_text() -> None:
    assert typed("3.5") == 3.5
    assert typed("1, 4, inf") == [1, 4, float("inf")]
    assert typed("7,") == [7]
    assert typed("symbol") == "symbol"
    assert typed("") == ""
    assert typed("nan") == "nan"


class Clock:
    """Stands in for `time` in the sweep's module."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def swept(sweep: SnrSweep, clock: Clock, seconds: list[float]) -> list[float]:
    """SNRs of frames that come so many seconds after one another."""
    from codec_fixtures import smooth_pictures

    from semstream.runtime import Frame

    harness = Harness(sweep)
    picture = smooth_pictures(1)[0]
    for seq, wait in enumerate(seconds):
        clock.now += wait
        harness.give(Frame({"image": picture}, seq=seq))
    return [frame.tags["snr_db"] for frame in harness.outputs["tagged"]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("blocks.snr_sweep.time", clock)
    return clock


def test_a_sweep_within_seconds_comes_to_every_snr_whatever_its_hold(clock: Clock) -> None:
    by_clock = swept(SnrSweep(snr_db=[1, 4, 7], hold=600, within_s=3), clock, [0.25] * 24)
    assert by_clock == [1] * 4 + [4] * 4 + [7] * 4 + [1] * 4 + [4] * 4 + [7] * 4


def test_a_slow_link_leaves_no_snr_out(clock: Clock) -> None:
    assert swept(SnrSweep(snr_db=[1, 4, 7], hold=600, within_s=3), clock, [5.0] * 6) == [1, 4, 7, 1, 4, 7]


def test_a_sweep_that_is_quick_enough_goes_by_its_frames(clock: Clock) -> None:
    plain = swept(SnrSweep(snr_db=[1, 4, 7], hold=2), clock, [0.1] * 12)
    assert swept(SnrSweep(snr_db=[1, 4, 7], hold=2, within_s=3), clock, [0.1] * 12) == plain == [1, 1, 4, 4, 7, 7] * 2


def swept_graph() -> Flowgraph:
    from monitor_blocks import Pictures, Quality

    graph = Flowgraph("swept")
    sweep, quality = SnrSweep(snr_db=[1, 4, 7], hold=10_000), Quality()
    graph.connect(Pictures(count=-1, every_s=0.01), sweep, quality.reconstruction)
    graph.connect(sweep, quality.reference)
    return graph


def test_only_a_run_that_is_watched_walks_and_only_while_it_is() -> None:
    run = swept_graph().start()
    try:
        walk = Walk(run, 0.3)
        assert walk.keep() == ""
        assert run.settings("snr_sweep").within_s == 0
        walk.asked()
        assert "within 0.3 s" in walk.keep()
        assert walk.keep() == ""
        wait_for(lambda: {r["snr_db"] for r in run.records["quality"]} == {1, 4, 7})
        walk._asked_at -= 60
        assert "nobody watches" in walk.keep()
        assert run.settings("snr_sweep").within_s == 0
    finally:
        run.stop()


def test_what_somebody_has_set_is_not_set_back() -> None:
    run = swept_graph().start()
    try:
        walk = Walk(run, 0.3)
        walk.asked()
        walk.keep()
        run.set("snr_sweep", within_s=2.0)
        walk._asked_at -= 60
        walk.keep()
        assert run.settings("snr_sweep").within_s == 2.0
    finally:
        run.stop()


def test_a_service_walks_when_it_was_told_to_and_a_viewer_has_asked() -> None:
    run = swept_graph().start()
    try:
        with MonitorService(run, walk_s=0.3) as service, MonitorClient(service.endpoint) as client:
            assert client.snapshot(5) is not None
            wait_for(lambda: run.settings("snr_sweep").within_s == 0.3)
        with MonitorService(run) as service, MonitorClient(service.endpoint) as client:
            assert client.snapshot(5) is not None
            assert service._walk.keep() == ""
    finally:
        run.stop()


@pytest.mark.parametrize(
    "message",
    [
        "[" * 5000,
        '{"id": ' + "[" * 50 + "]" * 50 + "}",
        "[1]",
        "",
        b"\xff",
        "NaN",
        '{"value": 1' + "0" * 30 + "}",
        '{"value": "\\ud800"}',
    ],
)
def test_a_message_that_is_no_request_is_refused_in_words(message: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"nested too deep|expected an object|Expecting value|utf-8|cannot be sent on"):
        request_of(message)


def test_a_request_is_an_object() -> None:
    assert request_of('{"op": "pause", "value": [1, [2]]}') == {"op": "pause", "value": [1, [2]]}

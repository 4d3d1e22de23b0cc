"""Watching a run: snapshots, the service and its viewers, the terminal view, Prometheus. Real sockets, real runs."""

from __future__ import annotations

import io
import math
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from monitor_blocks import Air, End, Noise, Pictures, Quality
from rich.console import Console

from blocks import PictureProbe, Probe
from blocks.probe import add_probes
from semstream.monitor.arrays import pack_array, shrink, unpack_array
from semstream.monitor.client import MonitorClient
from semstream.monitor.page.expected import expected_curve
from semstream.monitor.prometheus import Asked, PrometheusEndpoint
from semstream.monitor.service import MonitorService
from semstream.monitor.snapshot import MOST_ROWS, Mean, Rates, Watch, describe_settings
from semstream.monitor.top import render, sparkline, watch
from semstream.monitor.watched import watched
from semstream.runtime import Flowgraph, FlowgraphError, Frame, Run, SettingsError
from semstream.runtime.files.keyfile import make_certificates, read_keys
from semstream.runtime.frames import wire
from semstream.testing import Harness


def graph_of(count: int, every_s: float = 0.0) -> Flowgraph:
    graph = Flowgraph("watched", seed=4)
    pictures, noise, quality = Pictures(count=count, every_s=every_s), Noise(), Quality()
    graph.connect(pictures, noise, quality.reconstruction)
    graph.connect(pictures, quality.reference)
    graph.connect(noise, Air(), End())
    add_probes(graph)
    return graph


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    tick = threading.Event()
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        tick.wait(0.02)
    assert value
    return value


@pytest.fixture(params=["threads", "processes"])
def endless(request: pytest.FixtureRequest) -> Iterator[Run]:
    run = graph_of(-1, 0.005).start(request.param)
    yield run
    run.stop()


@pytest.fixture
def finished() -> Run:
    return graph_of(12).run()


def test_a_mean_comes_with_its_interval() -> None:
    mean = Mean()
    assert mean.interval() is None
    values = np.random.default_rng(0).normal(3, 2, 500)
    for value in values:
        mean.add(float(value))
    middle, low, high = mean.interval() or [0, 0, 0]
    assert middle == pytest.approx(values.mean())
    assert high - middle == pytest.approx(1.96 * values.std(ddof=1) / 500**0.5)
    assert middle - low == pytest.approx(high - middle)


def test_a_rate_is_over_the_last_two_seconds() -> None:
    rates = Rates()
    assert rates.update({"a": 0}, 0.0) == {"a": 0.0}
    for tick in range(1, 51):
        newest = rates.update({"a": 10 * tick if tick <= 25 else 250 + 20 * (tick - 25)}, tick / 10)
    assert newest["a"] == pytest.approx(200, rel=0.01)


def test_arrays_survive_and_what_is_none_is_refused() -> None:
    for array in (
        np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.ones((3, 2), np.float32), np.arange(6, dtype=np.uint8)[::2],
        np.float32(3) * np.ones(()), np.zeros((0, 3), np.uint8),
    ):  # fmt: skip
        again = unpack_array(wire.unpack(wire.pack(pack_array(array))))
        assert again.shape == array.shape
        assert np.array_equal(again, array)
    good = {"dtype": "uint8", "shape": [1], "data": b"x"}
    odd = [
        {"dtype": "object"},
        {"dtype": []},
        {"shape": [5]},
        {"shape": 1},
        {"shape": [-1]},
        {"shape": ["1"]},
        {"data": "x"},
    ]
    for bad in (None, 3, {}, *(good | change for change in odd)):
        with pytest.raises(ValueError, match=r"array|dimensions|reshape"):
            unpack_array(bad)


@pytest.mark.parametrize("size", [(300, 40), (1, 700), (256, 256), (33, 47)])
def test_a_shown_picture_is_small(size: tuple[int, int]) -> None:
    small = shrink(np.full((*size, 3), 77, np.uint8), 256)
    assert max(small.shape[:2]) <= 256
    assert min(small.shape[:2]) >= 1
    assert (small == 77).all()


def test_a_snapshot_tells_of_blocks_edges_quality_and_what_is_shown(finished: Run) -> None:
    snapshot = wire.unpack(wire.pack(Watch(finished).snapshot()), 2**26)
    assert snapshot["state"] == "finished"
    assert snapshot["blocks"]["noise"]["class"] == "Noise"
    assert sum(snapshot["blocks"]["quality"]["counters"]["frames_in"].values()) == 24
    assert {e["name"]: e["frames"] for e in snapshot["edges"]}["pictures.image -> noise.image"] == 12
    by_snr = {row["snr_db"]: row for row in snapshot["quality"]}
    assert set(by_snr) == {7.0, math.inf}
    assert by_snr[7.0]["psnr_db"][0] == pytest.approx(22)
    assert by_snr[7.0]["n"] == 6
    assert by_snr[7.0]["lpips"] is None
    assert len(snapshot["last"]) == len(snapshot["latency_ms"]) == 12
    channel = snapshot["shown"]["air.probe"]["channel"]
    assert channel["bits"] == [3, 2, 0]
    assert np.allclose(np.abs(unpack_array(channel["gain"])), 2)
    assert np.allclose(np.hypot(*unpack_array(channel["equalized"]).T), 1, atol=1e-3)
    picture = snapshot["shown"]["quality.view"]["picture"]
    assert unpack_array(picture["sent"]).shape == (150, 20, 3)
    settings = {row["name"]: row for row in snapshot["blocks"]["noise"]["settings"]}
    assert (settings["step"]["minimum"], settings["step"]["maximum"], settings["step"]["live"]) == (0, 255, True)
    assert [settings[name]["kind"] for name in ("step", "kind", "on")] == ["integer", "text", "boolean"]


def test_probes_show_no_more_than_their_rate() -> None:
    shown = []
    harness = Harness(Probe(rate=0.01))
    harness.show = lambda name, value: shown.append(value["seq"])  # type: ignore[method-assign]
    frame = Frame(
        {
            "received": np.ones(4, np.complex64),
            "csi": np.ones(4, np.complex64),
            "noise_variance": np.ones(4, np.float32),
        }
    )
    for _ in range(5):
        harness.give(frame)
    assert len(shown) == 1


def test_settings_of_the_blocks_are_described_for_a_viewer() -> None:
    from blocks import FadingChannel

    rows = {row["name"]: row for row in describe_settings(FadingChannel().settings)}
    assert rows["channel"]["kind"] == "choice"
    assert rows["channel"]["choices"] == ["awgn", "rayleigh", "rician", "composite", "doppler", "tdl", "cdl"]
    assert rows["snr_db"]["unit"] == "dB"


def test_viewers_see_a_run_go_on_and_steer_it(endless: Run) -> None:
    with MonitorService(endless, control=True) as service, MonitorClient(service.endpoint) as client:
        first = wait_for(lambda: (s := client.snapshot(5)) and s["quality"] and s)
        assert first["state"] == "running"
        assert first["control"]
        assert client.set("noise", {"step": 9}, service.token) == ""
        assert endless.settings("noise").step == 9
        assert "255" in client.set("noise", {"step": 300}, service.token)
        assert "Noise" in client.set("noise", {"step": 1}, "guess") or "wrong token" in client.set("noise", {}, "guess")
        assert "no block" in client.set("nobody", {"step": 1}, service.token)
        assert endless.settings("noise").step == 9
        assert client.pause(True, service.token) == ""
        state = wait_for(lambda: (s := client.snapshot(5)) and s["state"] == "paused" and s)
        assert any("step = 9" in event["text"] for event in state["events"])

        def frames() -> int:
            counters = endless.counters()["blocks"]["pictures"]
            return sum(counters["frames_out"].values())

        held = [frames()]
        tick = threading.Event()
        for _ in range(200):
            tick.wait(0.05)
            held.append(frames())
            if len(held) > 30 and len(set(held[-30:])) == 1:
                break
        assert len(set(held[-30:])) == 1
        assert client.pause(False, service.token) == ""
        wait_for(lambda: frames() > held[-1])


def test_without_control_nothing_can_be_changed(endless: Run) -> None:
    with MonitorService(endless) as service, MonitorClient(service.endpoint) as client:
        assert service.token == ""
        assert "read-only" in client.set("noise", {"step": 9}, "")
        assert "read-only" in client.pause(True, "")


def test_a_viewer_that_comes_late_sees_all_that_was_and_measured_snrs_do_not_pile_up(finished: Run) -> None:
    watch = Watch(finished)
    for _ in range(2):
        watch.follow()
    first = watch.snapshot()["quality"]
    assert first == Watch(finished).snapshot()["quality"]
    for number in range(3 * MOST_ROWS):
        watch._take("quality", {"psnr_db": 30.0, "snr_db": number / 7, "branch": "b"})
    rows = watch.snapshot()["quality"]
    assert len(rows) == MOST_ROWS
    assert max(row["snr_db"] for row in rows) == (3 * MOST_ROWS - 1) / 7


def test_foreign_messages_are_counted_and_answered_no_further(finished: Run) -> None:
    with MonitorService(finished) as service:
        context = zmq.Context()
        foreign = context.socket(zmq.DEALER)
        foreign.linger = 0
        foreign.connect(service.endpoint)
        for parts in ([b"junk"], [b"", b"x", b"y"], [wire.pack({"op": "format disk"})], [wire.pack([1, 2])], [b"\xc1"]):
            foreign.send_multipart(parts)
            assert foreign.poll(5000)
            assert b"error" in foreign.recv()
        foreign.close()
        context.term()
        assert service.refused == 5
        with MonitorClient(service.endpoint) as client:
            assert client.snapshot(5) is not None


def test_a_viewer_that_never_reads_or_vanishes_disturbs_nobody(endless: Run) -> None:
    with MonitorService(endless) as service, MonitorClient(service.endpoint) as client:
        context = zmq.Context()
        stuck = context.socket(zmq.DEALER)
        stuck.linger, stuck.rcvhwm = 0, 1
        stuck.connect(service.endpoint)
        for _ in range(300):
            stuck.send(wire.pack({"op": "snapshot"}))
        assert client.snapshot(10) is not None
        stuck.close()
        context.term()
        assert client.snapshot(10) is not None
    assert endless.failure is None


def test_an_endpoint_in_use_or_open_to_all_is_refused(finished: Run) -> None:
    with MonitorService(finished) as service, pytest.raises(FlowgraphError, match="cannot listen"):
        MonitorService(finished, service.endpoint)
    with pytest.raises(FlowgraphError, match="CURVE"):
        MonitorService(finished, "tcp://0.0.0.0:45999")


def test_a_client_without_a_service_says_so_in_time_and_finds_a_later_one(finished: Run) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    with MonitorClient(endpoint) as client:
        assert client.snapshot(0.2) is None
        assert "nobody" in client.set("a", {}, "", timeout=0.2)
        with MonitorService(finished, endpoint):
            assert wait_for(lambda: client.snapshot(2))["state"] == "finished"


def test_holding_is_of_sources_alone_and_ends_with_a_stop() -> None:
    run = graph_of(-1, 0.001).start()
    wait_for(lambda: run.records["quality"])
    run.hold()
    assert run.held
    run.stop()
    assert run.finished
    assert run.failure is None


def test_the_terminal_shows_quality_blocks_and_drops(finished: Run) -> None:
    snapshot = Watch(finished).snapshot()
    snapshot["edges"][0]["drops"] = {"late": 3}
    text = io.StringIO()
    Console(file=text, width=140).print(render(snapshot))
    for words in ("watched", "finished", "inf", "22.00", "pictures", "3 dropped (late)"):
        assert words in text.getvalue()
    assert sparkline([0, 1, 2], 0, 2) == "▁▅█"


def test_top_shows_one_snapshot_where_there_is_no_terminal(finished: Run) -> None:
    text = io.StringIO()
    with MonitorService(finished) as service, MonitorClient(service.endpoint) as client:
        assert watch(client, Console(file=text, width=140)) == 0
    assert "watched" in text.getvalue()


def test_the_top_command_says_that_nobody_answers() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    done = subprocess.run(
        [sys.executable, "-m", "semstream.cli", "top", endpoint, "--once"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "nobody answers" in done.stderr
    assert "Traceback" not in done.stderr


def test_prometheus_gets_every_counter(finished: Run) -> None:
    endpoint = PrometheusEndpoint(Watch(finished), 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    with pytest.raises(FlowgraphError, match="--prometheus"):
        PrometheusEndpoint(Watch(finished), endpoint.port)
    endpoint.close()
    assert 'semstream_frames_in_total{block="noise",flowgraph="watched",port="image"} 12.0' in text
    assert 'semstream_psnr_db{branch="a",flowgraph="watched",snr_db="7"} 22.0' in text
    for name in ("frames_out_total", "bytes_in_total", "work_seconds", "age_seconds", "running"):
        assert f"semstream_{name}" in text


def test_a_named_port_in_use_stops_the_run_with_one_line() -> None:
    run = graph_of(-1, 0.01).start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(FlowgraphError, match=str(port)), watched(run, "", False, port, Console(file=io.StringIO())):
            pass
    assert run.finished


def test_the_expected_curve_is_of_the_nearest_budget() -> None:
    def row(scheme: str, snr: str, bits: str, psnr: str) -> dict[str, str]:
        return {"channel": "awgn", "scheme": scheme, "snr_db": snr, "budget_bits": bits, "psnr_db": psnr}

    rows = [row("optimal", "7", "3", "27"), row("optimal", "1", "3", "24"), row("optimal", "1", "8", "25")]
    rows += [row("none", "1", "0", "26"), row("optimal", "inf", "3", "40")]
    assert expected_curve(rows, "non-uniform", "awgn", 2.9) == [(1.0, 24.0), (7.0, 27.0)]
    assert expected_curve(rows, "unquantized", "awgn", 32.0) == [(1.0, 26.0)]
    assert expected_curve(rows, "non-uniform", "awgn", 5.0) == []
    assert expected_curve(rows, "non-uniform", "rayleigh", 3.0) == []


def test_settings_errors_keep_their_kind() -> None:
    run = graph_of(3).run()
    with pytest.raises(SettingsError, match="ended"):
        run.set("noise", step=3)


def test_picture_probe_leaves_out_pictures_of_other_sizes() -> None:
    harness = Harness(PictureProbe())
    harness.give(Frame({"image": np.zeros((4, 4, 3), np.uint8)}), Frame({"image": np.zeros((5, 4, 3), np.uint8)}))
    assert harness.shown == {}


def test_with_a_class_a_feature_the_probe_shows_bits_over_the_picture(weights: Any) -> None:
    from codec_fixtures import smooth_pictures

    from blocks import (
        ContributionClassifier,
        FadingChannel,
        NonUniformQuantizer,
        PowerNormalizer,
        SwinEncoder,
    )
    from semstream.testing import run_block

    name = str(weights)
    frames = [Frame({"image": smooth_pictures(1)[0]}, tags={"snr_db": 7.0})]
    classify = ContributionClassifier(weights=name, granularity="element", method="magnitude")
    for block in (SwinEncoder(weights=name), classify, NonUniformQuantizer(weights=name, bits=4),
                  PowerNormalizer(weights=name), FadingChannel()):  # fmt: skip
        frames = run_block(block, frames)
    harness = Harness(Probe())
    harness.give(frames[0])
    shown = unpack_array(harness.shown["channel"]["bits_map"])
    assert shown.shape == (8, 8)
    assert shown.mean() * 512 == pytest.approx(frames[0].tags["payload_bits"], rel=1e-5)


def test_counters_cross_the_network_under_keys_and_prometheus_gets_them_from_loopback(
    finished: Run, tmp_path: Path
) -> None:
    make_certificates(tmp_path, ["link", "viewer"])
    make_certificates(tmp_path / "others", ["stranger"])
    with MonitorService(finished, "tcp://0.0.0.0:*", curve=read_keys(tmp_path / "link.key_secret")) as service:
        address = service.endpoint.replace("0.0.0.0", "127.0.0.1")
        link = tmp_path / "link.key"
        endpoint = PrometheusEndpoint(Asked(address, read_keys(tmp_path / "viewer.key_secret", link)), 0)
        with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics", timeout=10) as answer:
            assert b"semstream_frames_in_total" in answer.read()
        endpoint.close()
        stranger = read_keys(tmp_path / "others" / "stranger.key_secret", link)
        for keys in (stranger, None):
            with MonitorClient(address, keys) as client:
                assert client.snapshot(0.5) is None
    with pytest.raises(FlowgraphError, match="expected an endpoint"):
        Asked("nowhere")

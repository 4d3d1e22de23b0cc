"""Two hosts with a real network between them: delay, loss, too little bandwidth, and a cable that is cut."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from semstream.runtime.files.keyfile import make_certificates

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1]))

from tools.far_hosts.network import Network, why_not  # noqa: E402

CUT_S = float(os.environ.get("SEMSTREAM_CUT_S", "3.5"))
"""Longer than the heartbeat's patience of 3 s: the connection is lost."""
PORTS = itertools.count(5600, 10)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}


@pytest.fixture(autouse=True, scope="module")
def _allowed() -> None:
    if reason := why_not():
        pytest.skip(reason)


class Stream:
    """A camera on one host and a screen on the other."""

    def __init__(self, network: Network, keys: Path, policy: str, credit: Any, **options: Any) -> None:
        self.network = network
        told = {"port": next(PORTS), "keys": str(keys), "policy": policy, "credit": credit, **options}
        told |= {name: network.address[name] for name in ("tx", "rx")}
        self.ends = {
            host: network.start(
                host, sys.executable, str(HERE / "far_host.py"), host, json.dumps(told),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
            )
            for host in ("rx", "tx")
        }  # fmt: skip
        self.records: list[dict[str, Any]] = []
        self.edges: dict[str, Any] = {}
        self.errors = ""

    def read(self, count: int) -> None:
        """Read so many records."""
        output = self.ends["rx"].stdout
        assert output is not None
        until = len(self.records) + count
        while len(self.records) < until and (line := output.readline()):
            if line.startswith('{"seq"'):
                self.records.append(json.loads(line))

    def cut(self, host: str, seconds: float) -> float:
        """Cut the cable of a host for a while; when it was mended, by the monotonic clock."""
        self.network.cut(host)
        time.sleep(seconds)  # the cut itself, not a wait
        self.network.mend(host)
        return time.monotonic()

    def end(self) -> list[int]:
        """Read to the end; the numbers of the frames that were shown."""
        for host, process in self.ends.items():
            out, errors = process.communicate(timeout=60)
            self.errors += errors
            lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
            self.records += [line for line in lines if "seq" in line]
            for line in lines:
                if "seq" not in line:
                    self.edges[host] = line["camera.out -> screen.samples"]
        return [record["seq"] for record in self.records]

    @property
    def rate(self) -> float:
        """Frames a second, of the last three quarters."""
        shown = self.records[len(self.records) // 4 :]
        return (len(shown) - 1) / (shown[-1]["at"] - shown[0]["at"])

    def kill(self) -> None:
        for process in self.ends.values():
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network") / "keys"
    make_certificates(folder, ["tx", "rx"])
    return folder


@pytest.fixture
def stream(keys: Path) -> Iterator[Any]:
    begun: list[Stream] = []

    def begin(network: Network, policy: str, credit: Any = "auto", **options: Any) -> Stream:
        begun.append(Stream(network, keys, policy, credit, **options))
        return begun[-1]

    yield begin
    for one in begun:
        one.kill()


def test_at_50_ms_and_a_percent_of_loss_the_credit_grows_to_what_the_rate_needs(stream: Any) -> None:
    # A round trip takes 0.1 s: with credit 2 no more than 20 of the 25 frames a second can come.
    with Network(["tx", "rx"], delay_s=0.025, loss=0.005) as network:
        one = {credit: stream(network, "block", credit, count=60, tx_clock=-3600) for credit in (2, "auto")}
        one["durable"] = stream(network, "block", "auto", durable=True, count=60, tx_clock=-3600)
        for far in one.values():
            assert far.end() == list(range(60)), far.errors
        ages = sorted(record["t0_age_ms"] - record["age_ms"] for record in one["auto"].records)
        assert abs(ages[30]) < 200, "the age of a frame depends on the clock of its sender, an hour slow"
    assert one[2].rate < 20
    for kind in ("auto", "durable"):
        assert one[kind].rate > 1.2 * one[2].rate


def test_a_cable_that_is_cut_costs_a_lossless_edge_no_frame_and_a_live_one_shows_nothing_old(stream: Any) -> None:
    with Network(["tx", "rx"], delay_s=0.002) as network:
        count = 90 + int(25 * CUT_S)
        lossless, live = (stream(network, policy, count=count, size=2048) for policy in ("block", "latest"))
        for one in (lossless, live):
            one.read(25)
        mended = lossless.cut("rx", CUT_S)
        assert lossless.end() == list(range(count)), lossless.errors
        assert "is back after" in lossless.errors
        live.end()
        check_fresh(live, mended, CUT_S)
        assert live.edges["tx"]["drops"]["cut"] >= 1


def test_a_cable_that_is_cut_costs_a_durable_edge_no_frame_and_it_regains_its_credit(stream: Any) -> None:
    with Network(["tx", "rx"], delay_s=0.025) as network:
        one = stream(network, "block", durable=True, count=200)
        one.read(40)
        mended = one.cut("rx", CUT_S)
        assert one.end() == list(range(200)), one.errors
    after = [record["at"] for record in one.records if record["at"] > mended]
    last = after[-40:]
    assert 39 / (last[-1] - last[0]) > 20  # frames a second: with credit 2 at most 20 over a round trip of 0.1 s


def test_a_cable_that_is_cut_for_a_moment_brings_a_live_edge_nothing_old(stream: Any) -> None:
    with Network(["tx", "rx"], delay_s=0.002) as network:
        one = stream(network, "drop_oldest", count=100, size=2048)
        one.read(25)
        mended = one.cut("tx", 1.5)  # the connection stays: TCP brings later what was under way
        one.end()
        check_fresh(one, mended, 1.5)
        assert one.edges["rx"]["drops"]["late"] >= 1


def check_fresh(live: Stream, mended: float, seconds: float) -> None:
    """Whether no frame was older than three service times, of 40 ms, after the cable was mended."""
    after = [record for record in live.records if record["at"] > mended]
    assert len(after) > 20, live.errors
    assert max(record["age_ms"] for record in after) < 3 * 40 + 10  # and the way of 4 ms
    assert max(b["at"] - a["at"] for a, b in zip(live.records, live.records[1:], strict=False)) > seconds


def test_too_little_bandwidth_slows_a_lossless_source_and_drops_frames_of_a_live_one(stream: Any) -> None:
    # 25 frames of 32 kB a second are 6.6 Mbit/s.
    with Network(["tx", "rx"], delay_s=0.01, rate=3e6) as one, Network(["tx", "rx"], delay_s=0.01, rate=3e6) as other:
        lossless, live = stream(one, "block", count=30), stream(other, "drop_oldest", count=60)
        assert lossless.end() == list(range(30)), lossless.errors
        assert lossless.rate < 13
        shown = live.end()
        assert shown == sorted(set(shown))
        drops = live.edges["tx"]["drops"].get("drop_oldest", 0) + live.edges["rx"]["drops"].get("late", 0)
        assert drops > 10
        assert len(shown) + drops == 60

"""Prometheus: every counter of a run at http://127.0.0.1:PORT/metrics, made when asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from semstream.monitor.client import MonitorClient
from semstream.runtime import CurveKeys, FlowgraphError

ASKED_S = 2.0
QUANTILES = (("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99"))
_COUNTS = {
    "frames_in": ("frames taken", "port"),
    "frames_out": ("frames given", "port"),
    "bytes_in": ("bytes taken", "port"),
    "bytes_out": ("bytes given", "edge"),
    "skips": ("frames skipped", "reason"),
    "restarts": ("times that the block was started again", "reason"),
    "bad": ("bad messages", "reason"),
    "drops": ("frames dropped", "edge_reason"),
}


def families(snapshot: dict[str, Any]) -> Iterator[Any]:
    """Metric families of a snapshot.

    ``semstream_frames_in_total{flowgraph, block, port}`` and so on for every counter; quantiles of work, wait and age
    in seconds; queue depths; rates; and the mean quality by branch and SNR.
    """
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    graph = snapshot["name"]
    for name, (text, label) in _COUNTS.items():
        family = CounterMetricFamily(f"semstream_{name}", text, labels=["flowgraph", "block", label])
        for block, facts in snapshot["blocks"].items():
            for key, count in facts["counters"][name].items():
                family.add_metric([graph, block, key], count)
        yield family
    for name in ("queue", "queue_peak"):
        depth = GaugeMetricFamily(f"semstream_{name}", "frames that wait", labels=["flowgraph", "block", "port"])
        for block, facts in snapshot["blocks"].items():
            for key, waiting in facts["counters"][name].items():
                depth.add_metric([graph, block, key], waiting)
        yield depth
    for name in ("work", "wait", "age"):
        labels = ["flowgraph", "block", "quantile"]
        seconds = GaugeMetricFamily(f"semstream_{name}_seconds", f"{name} time of a frame", labels=labels)
        count = CounterMetricFamily(f"semstream_{name}", f"frames of {name}_seconds", labels=["flowgraph", "block"])
        for block, facts in snapshot["blocks"].items():
            summary = facts["counters"][name]
            for key, quantile in QUANTILES:
                seconds.add_metric([graph, block, quantile], summary[key] / 1e3)
            count.add_metric([graph, block], summary["count"])
        yield seconds
        yield count
    rate = GaugeMetricFamily("semstream_frames_per_second", "over the last two seconds", labels=["flowgraph", "block"])
    for block, facts in snapshot["blocks"].items():
        rate.add_metric([graph, block], facts["rate"])
    yield rate
    yield from _quality(graph, snapshot["quality"])
    up = GaugeMetricFamily("semstream_running", "1 while the run goes on", labels=["flowgraph"])
    up.add_metric([graph], float(snapshot["state"] in ("running", "paused")))
    yield up


def _quality(graph: str, rows: Iterable[dict[str, Any]]) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    rows = list(rows)
    for name in ("psnr_db", "ms_ssim", "lpips"):
        labels = ["flowgraph", "branch", "snr_db"]
        family = GaugeMetricFamily(f"semstream_{name}", f"mean {name} of a branch at an SNR", labels=labels)
        for row in rows:
            if row[name]:
                snr = "inf" if math.isinf(row["snr_db"]) else f"{row['snr_db']:g}"
                family.add_metric([graph, row["branch"], snr], row[name][0])
        yield family


class Snapshots(Protocol):
    """Whatever has the newest state of a run: `Watch` where it runs, `Asked` elsewhere."""

    def snapshot(self) -> dict[str, Any] | None:
        """The newest state, or None if it cannot be had."""


class Asked:
    """The state of a run on another host, asked for at its monitor endpoint: counters cross the network under CURVE.

    Parameters
    ----------
    endpoint, curve
        As for `MonitorClient`.

    Raises
    ------
    FlowgraphError
        If the endpoint is malformed.
    """

    def __init__(self, endpoint: str, curve: CurveKeys | None = None) -> None:
        MonitorClient(endpoint, curve).close()
        self._endpoint, self._curve = endpoint, curve

    def snapshot(self) -> dict[str, Any] | None:
        """The newest state; each call has a connection of its own, since each comes in a thread of its own."""
        with MonitorClient(self._endpoint, self._curve) as client:
            return client.snapshot(ASKED_S)


class PrometheusEndpoint:
    """Serves the counters of a watched run over HTTP, on loopback.

    Raises
    ------
    FlowgraphError
        If the port is in use.
    """

    def __init__(self, watch: Snapshots, port: int = 9464, address: str = "127.0.0.1") -> None:
        from prometheus_client import CollectorRegistry, start_http_server
        from prometheus_client.registry import Collector

        class Counters(Collector):
            def collect(self) -> Iterable[Any]:
                """Families of the newest snapshot."""
                snapshot = watch.snapshot()
                return families(snapshot) if snapshot is not None else ()

            def describe(self) -> Iterable[Any]:
                """Nothing: asking the run for it now would be too early."""
                return ()

        registry = CollectorRegistry()
        registry.register(Counters())
        try:
            self._server, self._thread = start_http_server(port, address, registry)
        except OSError as error:
            reason = error.strerror or error
            raise FlowgraphError(f"--prometheus {port}: cannot listen there ({reason}); name another port") from None
        self.port = int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

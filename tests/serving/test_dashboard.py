"""The dashboard against a real Prometheus that scrapes a real service: every query of every panel has an answer."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_serve import ROOT, TEXT, Service

BOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
CONFIGURATION = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs: [{{job_name: semstream, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


class Prometheus:
    """The program, which scrapes one service twice a second."""

    def __init__(self, program: str, folder: Path, scraped: int) -> None:
        (folder / "prometheus.yml").write_text(CONFIGURATION.format(port=scraped), encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'series'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self.log,
            stderr=self.log,
            cwd=folder,
        )

    def get(self, path: str, **asked: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it starts
                return []
            raise AssertionError(f"{asked}: {error.read().decode()}") from None
        except OSError:  # it does not listen yet
            return []

    def series(self, expression: str) -> list[Any]:
        found = self.get("query", query=expression)
        return list(found["result"]) if found else []

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Prometheus]]:
    """A service that loses frames and measures, and a Prometheus that has seen it."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("dashboard")
    text = TEXT.replace("monitor_blocks:Noise", "dashboard_blocks:Leaky")
    text = text.replace("monitor_blocks:Quality", "dashboard_blocks:Measured")
    (folder / "link.yaml").write_text(text.replace("NAME", "shown").replace("COUNT", "-1"), encoding="utf-8")
    places = [ROOT, ROOT / "tests" / "monitor", Path(__file__).parent]
    service = Service(folder / "link.yaml", PYTHONPATH=os.pathsep.join(map(str, places)))
    try:
        service.until(service.ready, "ready")
        prometheus = Prometheus(program, folder, service.port())
        try:
            service.until(lambda: bool(prometheus.series("semstream_frames_in_total offset 1s")), "scraped")
            yield service, prometheus
        finally:
            prometheus.end()
    finally:
        service.process.terminate()
        service.end()


def filled_in(expression: str, variables: dict[str, list[str]]) -> str:
    """A query as Grafana sends it."""
    for name, values in variables.items():
        expression = expression.replace(f"${name}", "|".join(values))
    return expression.replace("$__rate_interval", "30s")


def test_every_query_of_the_dashboard_has_an_answer_from_a_real_service(scraped: tuple[Service, Prometheus]) -> None:
    service, prometheus = scraped
    variables: dict[str, list[str]] = {}
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked = variable["query"]["query"].removeprefix("label_values(").removesuffix(")")
            metric, _, label = asked.rpartition(", ")
            metric = filled_in(metric, variables)
            variables[variable["name"]] = prometheus.get(f"label/{label}/values", **{"match[]": metric})
    assert variables == {"flowgraph": ["shown"], "block": ["noise", "pictures", "quality"]}

    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            expression = filled_in(target["expr"], variables)
            service.until(lambda e=expression: bool(prometheus.series(e)), f"an answer to {expression}")  # type: ignore[misc]
            labels = prometheus.series(expression)[0]["metric"]
            named = {part.split("}}")[0] for part in target.get("legendFormat", "").split("{{")[1:]}
            assert named <= set(labels) | {"edge_reason", "reason"}, f"{panel['title']}: {named} of {labels}"


def test_what_is_lost_is_shown_by_block_and_reason_and_zero_where_nothing_is(
    scraped: tuple[Service, Prometheus],
) -> None:
    service, prometheus = scraped
    everything = {"flowgraph": ["shown"], "block": [".*"]}
    (panel,) = (panel for panel in BOARD["panels"] if panel["title"].startswith("Frames lost"))
    dropped, skipped, bad = (filled_in(target["expr"], everything) for target in panel["targets"])
    service.until(lambda: float(prometheus.series(skipped)[0]["value"][1]) > 0, "skips")
    (series,) = prometheus.series(skipped)
    assert (series["metric"]["block"], series["metric"]["reason"]) == ("noise", "third")
    service.until(lambda: "edge_reason" in prometheus.series(dropped)[0]["metric"], "drops")
    (nothing,) = prometheus.series(bad)
    assert (nothing["metric"], float(nothing["value"][1])) == ({"block": "none"}, 0.0)

"""The live page: its documents, its server, and, where there is a Chromium, what a browser shows of it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from bokeh.document import Document
from test_monitor import graph_of, wait_for

from semstream.monitor.page.controls import Controls, _typed
from semstream.monitor.page.server import View, make_server
from semstream.monitor.service import MonitorService
from semstream.monitor.snapshot import Watch
from semstream.monitor.watched import Page, start_page
from semstream.runtime import FlowgraphError, Run


class Silent:
    """A feed without a service."""

    endpoint = "tcp://127.0.0.1:1"
    latest: dict[str, Any] | None = None
    silent = False
    sessions = 0

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []

    def command(self, *request: Any) -> str:
        self.commands.append(request)
        return ""

    def open_session(self) -> None:
        self.sessions += 1

    def close_session(self) -> None:
        self.sessions -= 1


@pytest.fixture
def finished() -> Run:
    return graph_of(12).run()


@pytest.fixture
def live() -> Iterator[tuple[Run, MonitorService, Page]]:
    run = graph_of(-1, 0.01).start()
    with MonitorService(run, control=True) as service:
        page = start_page(service, 0)
        yield run, service, page
        page.close()
    run.stop()


def address(page: Page) -> str:
    found = re.search(r"http://\S+", page.address)
    assert found
    return found.group()


def texts(document: Document) -> str:
    """All texts of the page's HTML parts and titles of its plots."""
    from bokeh.models import Div, Plot

    divs = [str(model.text) for model in document.select({"type": Div})]
    plots: list[Any] = list(document.select({"type": Plot}))
    return "\n".join(divs + [plot.title.text for plot in plots])


def test_a_document_shows_a_snapshot_and_begins_anew_with_the_next_run(finished: Run) -> None:
    feed, document = Silent(), Document()
    view = View(document, feed, "")  # type: ignore[arg-type]
    assert "waiting for a flowgraph" in texts(document)
    feed.latest = Watch(finished).snapshot()
    view.update()
    shown = texts(document)
    for words in ("watched", "finished", "data:image/png", "mean 1.67", "Latency, source to sink: p50 5 ms", "Edges"):
        assert words in shown
    assert "probe" not in shown.partition("Edges")[2].partition("Events")[0]
    lines = view._quality["psnr_db"].plot.renderers
    assert lines
    feed.latest = Watch(graph_of(4).run()).snapshot()
    view.update()
    assert len(view._quality["psnr_db"].plot.renderers) == len(lines)
    feed.silent = True
    view.update()
    assert "link gone" in texts(document)


def test_a_widget_for_every_kind_of_live_setting_sends_what_is_chosen(finished: Run) -> None:
    sent: list[tuple[Any, ...]] = []
    controls = Controls(lambda *request: sent.append(request) or "", lambda function: function(), "secret")
    snapshot = Watch(finished, control=True).snapshot()
    controls.update(snapshot)
    assert set(controls._choice.options) == {"noise", "air.probe", "quality.view"}
    widgets = {widget.name: widget for widget in controls._widgets.children}
    assert set(widgets) == {"step", "kind", "on"}
    widgets["step"].trigger("value_throttled", 1, 7)
    widgets["kind"].value = "loud"
    widgets["on"].active = False
    controls._pause.active = True
    wait_for(lambda: len(sent) == 4)
    assert ("set", "noise", {"step": 7}, "secret") in sent
    assert ("set", "noise", {"kind": "loud"}, "secret") in sent
    assert ("set", "noise", {"on": False}, "secret") in sent
    assert ("pause", True, "secret") in sent


def test_without_control_there_are_no_widgets(finished: Run) -> None:
    controls = Controls(lambda *request: "", lambda function: function())
    controls.update(Watch(finished).snapshot())
    assert "read-only" in controls._said.text
    assert controls._widgets.children == []


def test_what_is_typed_is_a_number_a_list_or_a_text() -> None:
    assert _typed("3.5") == 3.5
    assert _typed("1, 4, inf") == [1, 4, float("inf")]
    assert _typed("7,") == [7]
    assert _typed("symbol") == "symbol"


def test_the_page_is_served_whole_from_here_and_follows_the_run(live: tuple[Run, MonitorService, Page]) -> None:
    from bokeh.client import pull_session

    run, _service, page = live
    url = address(page)
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    scripts = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert scripts
    assert all(not s.startswith(("http:", "https:", "//")) for s in scripts)
    with urllib.request.urlopen(url + scripts[0].lstrip("/"), timeout=30) as answer:
        assert answer.status == 200

    def shown() -> str:
        session = pull_session(url=url)
        try:
            return texts(session.document)
        finally:
            session.close()

    wait_for(lambda: "running" in shown(), 60)
    run.stop()
    wait_for(lambda: "finished" in shown(), 60)


def test_a_port_in_use_or_a_malformed_endpoint_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(FlowgraphError, match="cannot listen"):
            make_server("tcp://127.0.0.1:5", taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "semstream.cli", "monitor", "--port", str(taken.getsockname()[1])],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(FlowgraphError, match="expected an endpoint"):
        make_server("nonsense")


def test_a_browser_draws_the_page_asks_nobody_else_and_steers_the_link(live: tuple[Run, MonitorService, Page]) -> None:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs Debian's chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    from selenium.webdriver.chrome.service import Service

    run, service, page = live
    options = webdriver.ChromeOptions()
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "window-size=1280,800"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        driver.get(f"{address(page)}?token={service.token}")
        roots = "Bokeh.documents[0]"
        wait_for(lambda: driver.execute_script(f"return window.Bokeh && {roots} && {roots}.roots().length"), 60)
        find = f"[...{roots}._all_models.values()].find(m => m.name == 'step')"
        wait_for(lambda: driver.execute_script(f"return !!({find})"), 60)
        driver.execute_script(f"const m = {find}; m.value = 42; m.value_throttled = 42;")
        wait_for(lambda: run.settings("noise").step == 42, 30)
        drawn = f"[...{roots}._all_models.values()].filter(m => m.type == 'Div').map(m => m.text).join()"
        before = driver.execute_script(f"return {drawn}")
        wait_for(lambda: driver.execute_script(f"return {drawn}") != before, 30)
        asked = {
            url
            for entry in driver.get_log("performance")
            for url in re.findall(r'"Network.requestWillBeSent".*?"url":"(https?://[^"]+)"', entry["message"])
        }
        assert asked
        assert all("127.0.0.1" in url for url in asked)
    finally:
        driver.quit()

"""The live page: rendered once for all, served to browsers, and, where there is a Chromium, what one shows of it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from page_link import link
from test_monitor import graph_of, wait_for
from tornado.websocket import websocket_connect

from semstream.monitor.page.feed import LEAST_S, MOST_S, Pace
from semstream.monitor.page.hub import Hub, encoded
from semstream.monitor.page.pictures import Pictures
from semstream.monitor.page.server import MOST_WAITING, Outbox, PageServer
from semstream.monitor.page.view import View, state_of
from semstream.monitor.service import MonitorService
from semstream.monitor.snapshot import Watch
from semstream.monitor.watched import Page, start_page
from semstream.runtime import FlowgraphError, Run

Message = dict[str, Any]


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


class Reader:
    """A browser that only reads what it is sent, in a thread of its own."""

    def __init__(self, address: str, token: str | None = None) -> None:
        base, _, given = address.partition("?token=")
        self.address, self.token = base, given if token is None else token
        self.messages: list[Message] = []
        self.closed = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._socket: Any = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._read(),), daemon=True)
        self._thread.start()

    async def _read(self) -> None:
        self._socket = await websocket_connect(self.address.replace("http", "ws") + "live")
        await self._socket.write_message(json.dumps({"op": "hello", "token": self.token}))
        while (text := await self._socket.read_message()) is not None:
            self.messages.append(json.loads(text))
        self.closed.set()

    def send(self, request: Any) -> None:
        text = request if isinstance(request, str) else json.dumps(request)
        self._loop.call_soon_threadsafe(lambda: self._socket.write_message(text))

    def ask(self, **request: Any) -> Message:
        number = 1000 + len(self.messages)
        self.send(request | {"id": number})
        return self.wait(lambda m: m.get("reply") == number)

    def wait(self, fits: Callable[[Message], Any]) -> Message:
        return wait_for(lambda: next((m for m in list(self.messages) if fits(m)), None), 60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(lambda: self._socket.close())
        self.closed.wait(10)


class Fake:
    """A browser of the hub's that keeps what it is given."""

    def __init__(self) -> None:
        self.looked_at: set[str] = set()
        self.given: list[Message] = []
        self.anew = 0

    def give(self, text: str) -> None:
        self.given.append(json.loads(text))

    def waiting(self) -> bool:
        return False

    def begin_anew(self) -> None:
        self.anew += 1


def test_a_view_renders_a_run_and_then_only_what_is_new(finished: Run) -> None:
    watch = Watch(finished)
    view = View(watch.snapshot())
    whole = view.whole()
    parts = whole["parts"]
    for words, where in (
        ("watched", "head"),
        ("data:image/", "pictures"),
        ("noise.image", "edges"),
        (">noise</text>", "flow"),
        ("started", "log"),
    ):
        assert words in parts[where]
    assert "probe" not in parts["edges"]
    assert {place.split()[0] for place in whole["roots"]} == {
        "quality", "time", "latency", "constellation", "gains", "bits",
    }  # fmt: skip
    text = encoded(whole)
    for words in ("mean 1.67", "Latency, source to sink: p50 5 ms", "HoverTool", "error-free"):
        assert words in text
    view.update(watch.snapshot(), ["quality"], whole=True)
    view.take_patch()
    assert view.update(watch.snapshot(), ["quality"], whole=True) == {}


def test_all_browsers_get_the_same_rendering_and_another_run_begins_anew(finished: Run) -> None:
    hub, browsers = Hub("tcp://127.0.0.1:1"), [Fake(), Fake()]
    for browser in browsers:
        hub.join(browser)
    assert all("waiting for a flowgraph" in browser.given[0]["waiting"] for browser in browsers)
    watch = Watch(finished)
    hub.show(watch.snapshot())
    hub.show(watch.snapshot())
    assert browsers[0].given[1:] == browsers[1].given[1:]
    first = browsers[0].given[1]["run"]
    hub.show(Watch(graph_of(4).run()).snapshot())
    assert browsers[0].given[-1]["run"] != first
    assert browsers[0].anew == 2
    hub.show(None)
    assert browsers[0].given[-1] == {"silent": True}
    late = Fake()
    hub.join(late)
    assert late.given[0]["silent"] is True
    hub.leave(late)
    hub.leave(late)
    assert hub.feed._sessions == 2


def test_updates_come_more_rarely_the_longer_they_take() -> None:
    pace = Pace()
    assert pace.period_s == LEAST_S
    for _ in range(30):
        pace.took(0.02)
    assert LEAST_S < pace.period_s < MOST_S
    for _ in range(30):
        pace.took(2.0)
    assert pace.period_s == MOST_S
    for _ in range(60):
        pace.took(0.002)
    assert pace.period_s == LEAST_S


def test_pictures_of_all_branches_are_of_one_frame(finished: Run) -> None:
    snapshot = Watch(finished).snapshot()
    (view,) = (name for name, block in snapshot["blocks"].items() if block["class"] == "PictureProbe")
    snapshot["blocks"]["b.view"] = snapshot["blocks"][view]
    snapshot["shown"]["b.view"] = snapshot["shown"][view]
    pictures = Pictures()
    both = pictures.html(snapshot)
    assert both.count("<img") == 5
    moved = {"picture": snapshot["shown"][view]["picture"] | {"seq": 99}}
    snapshot["shown"]["b.view"] = moved
    assert pictures.html(snapshot) == both
    snapshot["shown"][view] = moved
    assert "frame 99" in pictures.html(snapshot)


@pytest.mark.parametrize(
    ("state", "label", "words"),
    [("finished", "ended", "has ended"), ("interrupted", "stopped", "was stopped"), ("failed", "failed", "'noise'")],
)
def test_the_page_says_how_a_run_has_ended(finished: Run, state: str, label: str, words: str) -> None:
    snapshot = Watch(finished).snapshot() | {"state": state, "failure": "block 'noise' failed", "failed_block": "noise"}
    said = state_of(snapshot)
    assert said["label"] == label
    assert words in said["words"]
    assert "stands here" in said["words"]


def test_the_page_is_served_whole_from_here(live: tuple[Run, MonitorService, Page]) -> None:
    base = live[2].address.partition("?")[0]
    with urllib.request.urlopen(base, timeout=30) as answer:
        text, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    files = re.findall(r"(?:src|href)=[\"']([^\"':]+)[\"']", text)
    assert {"static/page.js", "static/page.css", "bokeh/bokeh.min.js"} <= set(files)
    assert not re.search(r"https?://|//\w", text)
    for name in files:
        with urllib.request.urlopen(base + name, timeout=30) as answer:
            assert answer.status == 200
    for path, host in (("", "evil.example"), ("static/page.js", "evil.example"), ("bokeh/../../__init__.py", "")):
        request = urllib.request.Request(base + path, headers={"Host": host} if host else {})
        with pytest.raises(urllib.error.HTTPError, match=r"403|404"):
            urllib.request.urlopen(request, timeout=30)


def test_a_token_steers_and_none_or_a_wrong_one_only_reads(live: tuple[Run, MonitorService, Page]) -> None:
    run, _, page = live
    good, none, wrong = Reader(page.address), Reader(page.address, ""), Reader(page.address, "wörng")
    try:
        assert good.wait(lambda m: m.get("access")) == {"access": True, "why": ""}
        assert "no token" in none.wait(lambda m: m.get("why"))["why"]
        assert "not this run's" in wrong.wait(lambda m: m.get("why") and "wait" not in m)["why"]
        for reader in (none, wrong):
            assert reader.wait(lambda m: "document" in m)["parts"]["head"]
            assert "wrong token" in reader.ask(op="set", block="noise", name="step", value=9)["error"]
            assert "wrong token" in reader.ask(op="pause", value=True)["error"]
        assert run.settings("noise").step == 1
        assert not run.held
        assert good.ask(op="set", block="noise", name="step", value="9", typed=True)["done"] == "step = 9 (noise)"
        assert run.settings("noise").step == 9
        assert good.ask(op="pause", value=True)["done"] == "paused"
        wait_for(lambda: run.held)
        for bad in ({"op": "set"}, {"op": "format disk"}, {"op": "steer", "control": "snr", "value": 3}):
            assert good.ask(**bad)["error"]
        good.send("junk")
        assert "not a request" in good.wait(lambda m: m.get("reply") == 0)["error"]
    finally:
        for reader in (good, none, wrong):
            reader.close()


def test_the_end_reaches_a_browser_before_the_page_leaves(live: tuple[Run, MonitorService, Page]) -> None:
    run, _, page = live
    reader = Reader(page.address)
    reader.wait(lambda m: "document" in m)
    run.stop()
    page.close()
    assert reader.closed.wait(10)
    states = [m["parts"]["state"]["label"] for m in reader.messages if "state" in m.get("parts", {})]
    assert states[-1] == "ended"
    assert reader.messages[-1] == {"over": True} or any(m.get("over") for m in reader.messages[-3:])


def test_a_browser_that_stays_learns_of_the_next_run_and_that_its_token_is_of_another() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    run = graph_of(-1, 0.01).start()
    with MonitorService(run, endpoint, control=True) as service:
        page = start_page(service, 0)
        reader = Reader(page.address)
        first = reader.wait(lambda m: "document" in m)["run"]
        reader.wait(lambda m: m.get("access"))
    run.stop()
    again = graph_of(-1, 0.01).start()
    try:
        with MonitorService(again, endpoint, control=True):
            reader.wait(lambda m: "document" in m and m["run"] != first)
            assert "not this run's" in reader.wait(lambda m: m.get("why"))["why"]
            page.close()
    finally:
        again.stop()
    reader.closed.wait(10)


def test_a_browser_that_is_too_far_behind_gets_the_whole_page() -> None:
    async def behind() -> list[str]:
        outbox, sent, taken = Outbox(lambda: "whole"), [], asyncio.Event()

        async def send(text: str) -> None:
            sent.append(text)
            await taken.wait()

        delivery = asyncio.create_task(outbox.deliver(send))
        outbox.put("first")
        await asyncio.sleep(0)
        for number in range(MOST_WAITING + 3):
            outbox.put(str(number))
        assert outbox.busy
        taken.set()
        while outbox.busy:
            await asyncio.sleep(0)
        delivery.cancel()
        return sent

    assert asyncio.run(behind())[-3:] == ["whole", str(MOST_WAITING + 1), str(MOST_WAITING + 2)]


def test_a_port_in_use_or_a_malformed_endpoint_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(FlowgraphError, match="cannot listen"):
            PageServer("tcp://127.0.0.1:5", taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "semstream.cli", "monitor", "--port", str(taken.getsockname()[1])],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(FlowgraphError, match="expected an endpoint"):
        PageServer("nonsense")


@pytest.fixture
def browser() -> Iterator[Any]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs Debian's chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "window-size=1280,800"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


MOVE = (
    "const i = document.getElementById(arguments[0]); i.value = arguments[1]; i.dispatchEvent(new Event(arguments[2]))"
)


def test_a_browser_steers_the_link_in_one_move_and_asks_nobody_else(browser: Any) -> None:
    run = link().start()
    shown = lambda id_: browser.execute_script(f"return document.getElementById('{id_}').textContent")  # noqa: E731
    try:
        with MonitorService(run, control=True) as service:
            page = start_page(service, 0)
            browser.get(page.address)
            wait_for(lambda: browser.execute_script("return mayChange && !!document.getElementById('control-snr')"), 60)
            browser.execute_script(MOVE, "control-snr", "13", "input")
            wait_for(lambda: run.settings("sweep").snr_db == [13.0])
            browser.execute_script(MOVE, "control-channel", "rayleigh", "change")
            wait_for(lambda: {run.settings(name).channel for name in ("air", "ether")} == {"rayleigh"})
            browser.execute_script("document.getElementById('button-sweep').click()")
            wait_for(lambda: run.settings("sweep").snr_db == [1.0, 4.0])
            browser.execute_script("document.getElementById('button-pause').click()")
            wait_for(lambda: run.held)
            wait_for(lambda: shown("button-pause") == "go on")
            browser.execute_script("document.getElementById('button-pause').click()")
            wait_for(lambda: not run.held)
            before = shown("edges")
            wait_for(lambda: shown("edges") != before)
            browser.execute_script("window.scrollTo(0, 10000)")
            top = browser.execute_script("return document.getElementById('control-snr').getBoundingClientRect().top")
            assert 0 <= top < 200
            run.stop()
            wait_for(lambda: shown("state") == "ended")
            page.close()
            wait_for(lambda: "Its command has left" in shown("words"))
            assert browser.execute_script("return document.getElementById('control-snr').disabled")
            assert shown("edges")
    finally:
        run.stop()
    asked = {
        json.loads(entry["message"])["message"]["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    }
    assert any(url.endswith("page.js") for url in asked)
    assert all(url.startswith(("http://127.0.0.1:", "data:")) for url in asked)
    assert not [entry for entry in browser.get_log("browser") if "Uncaught" in entry["message"]]

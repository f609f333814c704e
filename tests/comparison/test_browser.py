import base64
import fcntl
import json
import os
import shutil
import subprocess
from itertools import count

import pytest
from synthetic_comparison import make_comparison

from gcvideo.comparison import write_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
LAYOUT = """(() => {
  const root = document.documentElement, cut = [];
  for (const node of document.querySelectorAll("h1, h2, p, li, figure, .scroll")) {
    const box = node.getBoundingClientRect();
    if (box.left < 0 || box.right > root.clientWidth + 0.5) cut.push(node.outerHTML.slice(0, 80));
  }
  const texts = [...document.querySelectorAll("p, li, td, th, dd, summary")];
  return {
    width: root.scrollWidth,
    window: root.clientWidth,
    cut,
    smallest: Math.min(...texts.map((node) => parseFloat(getComputedStyle(node).fontSize))),
    plots: [...document.querySelectorAll("figure svg")].map((svg) => svg.getBoundingClientRect().height),
    ids: [...document.querySelectorAll("[id]")].map((node) => node.id),
    ink: getComputedStyle(document.body).color,
  };
})()"""


class Browser:
    """Chromium by its DevTools protocol over two pipes."""

    def __init__(self, folder):
        command_end, self._commands = os.pipe()
        self._answers, answer_end = os.pipe()
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        # Chromium reads commands from descriptor 3 and writes to 4, which the ends must not be yet.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (command_end, answer_end)]
        self._process = subprocess.Popen(
            ["bash", "-c", 'exec 3<&"$0" 4>&"$1" "${@:2}"', *map(str, ends)]
            + [CHROMIUM, *words, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=ends,
            stderr=subprocess.DEVNULL,
        )
        for end in (command_end, answer_end, *ends):
            os.close(end)
        self._rest, self._numbers, self.events = b"", count(1), []
        target = self.call("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
        attach = {"targetId": target, "flatten": True}
        self._session = self.call("Target.attachToTarget", attach, None)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, parameters=None, session=""):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters or {}}
        if session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        return self._wait(lambda answer: answer.get("id") == number)["result"]

    def open(self, path, width, *, scheme="light"):
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", {"features": [feature]})
        self.events.clear()
        self.call("Page.navigate", {"url": path.as_uri()})
        self._wait(lambda event: event.get("method") == "Page.loadEventFired")
        evaluated = self.call("Runtime.evaluate", {"expression": LAYOUT, "returnByValue": True})
        return evaluated["result"]["value"]

    def picture(self, path):
        parameters = {"format": "png", "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", parameters)["data"]))

    def close(self):
        self.call("Browser.close", session=None)
        self._process.wait(30)

    def _wait(self, is_wanted):
        while True:
            *messages, self._rest = self._rest.split(b"\0")
            for index, message in enumerate(map(json.loads, messages)):
                self.events.append(message)
                if is_wanted(message):
                    rest = [*messages[index + 1 :], self._rest]
                    self._rest = b"\0".join(rest)
                    return message
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data


@pytest.fixture
def browser(tmp_path):
    if CHROMIUM is None:
        pytest.skip("no chromium")
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_on_desktop_and_phone_and_nothing_is_cut_or_loaded(
    browser, tmp_path, scheme
):
    missing = ("nl, seed 2: out of memory after epoch 3",)
    write_report(make_comparison(missing=missing, dropped={("nl", 2)}), tmp_path)
    for width in (1280, 390):
        layout = browser.open(tmp_path / "report.html", width, scheme=scheme)
        if folder := os.environ.get("SCREENSHOTS"):
            browser.picture(tmp_path.__class__(folder) / f"{scheme}-{width}.png")
        assert layout["width"] <= layout["window"] <= width
        assert layout["cut"] == []
        assert layout["smallest"] >= 16
        assert min(layout["plots"]) > 200
        assert len(layout["ids"]) == len(set(layout["ids"]))
        assert layout["ink"] == ("rgb(27, 29, 32)" if scheme == "light" else "rgb(230, 232, 235)")
        methods = [event.get("method") for event in browser.events]
        for complaint in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            assert complaint not in methods
        requests = [
            e["params"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"
        ]
        addresses = {request["request"]["url"].split(":")[0] for request in requests}
        assert addresses <= {"file", "data"}

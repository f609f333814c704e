"""Pages in headless Chromium: their layout on a screen and on paper."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from itertools import count

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PAPER_WIDTH = 703  # pixels of A4 between its margins
LAYOUT = """(() => {
  const root = document.documentElement, cut = [];
  for (const node of document.querySelectorAll(SELECTOR)) {
    const box = node.getBoundingClientRect();
    const isOutside = box.left < 0 || box.right > root.clientWidth + 0.5;
    if (box.width && isOutside) cut.push(node.outerHTML.slice(0, 80));
  }
  const texts = [...document.querySelectorAll("p, li, td, th, dd, summary")];
  return {
    width: root.scrollWidth,
    window: root.clientWidth,
    cut,
    smallest: Math.min(...texts.map((node) => parseFloat(getComputedStyle(node).fontSize))),
    plots: [...document.querySelectorAll("figure svg")].map((svg) => svg.getBoundingClientRect().height),
    ids: [...document.querySelectorAll("[id]")].map((node) => node.id),
    heads: [...document.querySelectorAll("th")].filter((n) => n.offsetParent).map((n) => n.innerText),
    ink: getComputedStyle(document.body).color,
  };
})()"""
_BLOCKS = "h1, h2, p, li, figure, .scroll"
# On paper nothing scrolls.
_EVERYTHING = "h1, h2, h3, p, li, dd, figure, table, th, td, svg, img, pre"


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

    def open(self, path, width, *, scheme="light", is_printed=False):
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        media = {"media": "print" if is_printed else "", "features": [feature]}
        self.call("Emulation.setEmulatedMedia", media)
        self.events.clear()
        self.call("Page.navigate", {"url": path.as_uri()})
        self._wait(lambda event: event.get("method") == "Page.loadEventFired")
        layout = LAYOUT.replace("SELECTOR", json.dumps(_EVERYTHING if is_printed else _BLOCKS))
        evaluated = self.call("Runtime.evaluate", {"expression": layout, "returnByValue": True})
        return evaluated["result"]["value"]

    def picture(self, path):
        parameters = {"format": "png", "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", parameters)["data"]))

    def print(self, path):
        """A PDF on upright A4."""
        size = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}
        answer = self.call("Page.printToPDF", {**size, "preferCSSPageSize": True})
        path.write_bytes(base64.b64decode(answer["data"]))

    def addresses(self):
        """What was asked for since the page was opened."""
        sent = (e["params"] for e in self.events if e.get("method") == "Network.requestWillBeSent")
        return {request["request"]["url"].split(":")[0] for request in sent}

    def complaints(self):
        kinds = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
        return [event for event in self.events if event.get("method") in kinds]

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

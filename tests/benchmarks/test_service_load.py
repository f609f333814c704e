"""The load of the service, on a program that stands for it and fails as it is told."""

import json
import re

import pytest

_STAND_IN = """
import http.server, json, signal, sys
fault = sys.argv[-1].removeprefix("--fault=")
kept = []

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or the client waits for the second
    count = 0

    def do_GET(self):
        self.answer(200, {"status": "ready"})

    def do_POST(self):
        upload = self.rfile.read(int(self.headers["Content-Length"]))
        Handler.count += 1
        is_late = Handler.count > 30
        if is_late and fault == "grow":
            kept.append(bytearray(b"x" * 2**20))
        if is_late and fault == "hang up":
            self.close_connection = True
        elif upload != b"a video" and fault != "take all":
            self.answer(422, {"detail": "cannot read the video: no" if fault != "dumb" else "no"})
        else:
            score = 0.25 if is_late and fault == "change" else 0.75
            self.answer(200, {"predictions": [{"score": score}]})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(3 if fault == "end badly" else 0))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if fault == "not start":
    sys.exit("no net")
print(f"running on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


@pytest.fixture
def load(benchmark, tmp_path, monkeypatch):
    """Runs the load on the stand-in."""
    module = benchmark("service_load")
    program, video = tmp_path / "stand_in.py", tmp_path / "a.mp4"
    program.write_text(_STAND_IN)
    video.write_bytes(b"a video")
    monkeypatch.setattr(module, "SERVICE", program)

    def run(fault, *words):
        given = ["net", str(video), "--requests=80", "--clients=3", "--broken=0.25"]
        return module.main([*given, *words, f"--service=--fault='{fault}'"])

    return run


def test_a_service_without_faults_passes_and_its_figures_are_kept(load, tmp_path, capsys):
    path = tmp_path / "load.json"
    assert load("", f"--json={path}") == 0
    printed, figures = capsys.readouterr(), json.loads(path.read_text())
    good, broken = (len(figures[kind]["seconds"]) for kind in ("good", "broken"))
    assert good + broken == 80
    assert 5 < broken < 40
    assert figures["good"]["statuses"] == [200] * good
    assert figures["faults"] == []
    assert [len(sizes) for sizes in figures["memory"]] == [1, 1]
    p90 = 1000 * sorted(figures["good"]["seconds"])[int(0.9 * (good - 1))]
    row = re.search(r"^good +\S+ +(\S+) +\S+  (\d+) x 200$", printed.out, re.MULTILINE)
    assert int(row[2]) == good
    assert float(row[1]) >= round(p90, 1)
    assert printed.err == ""


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        ("change", r'^good request \d+: 200 .*"score": 0.25'),
        ("hang up", r"^good request \d+: 0 RemoteDisconnected"),
        ("take all", r"^broken request \d+: 200 "),
        ("dumb", r'^broken request \d+: 422 \{"detail": "no"\}'),
        ("grow", r"^memory grew from \S+ to \S+ MB"),
        ("end badly", r"^the exit status after SIGTERM is 3, expected 0"),
    ],
)
def test_a_fault_of_the_service_is_named(load, capsys, fault, pattern):
    assert load(fault) == 1
    assert re.search(pattern, capsys.readouterr().err, re.MULTILINE)


def test_a_service_that_does_not_start_shows_its_log(load):
    with pytest.raises(RuntimeError, match="not become ready; its log:\nno net"):
        load("not start")


def test_a_load_of_nothing_is_refused(load, capsys):
    with pytest.raises(SystemExit):
        load("", "--requests=1")
    assert "requests is 1, clients 3 and broken 0.25; give at least" in capsys.readouterr().err

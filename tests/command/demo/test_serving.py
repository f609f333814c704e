"""The demo as its visitors meet it: a server in a process of its own, and a browser."""

import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from browser_page import CHROMIUM, BrowserPage
from omegaconf import OmegaConf

import gcvideo
from gcvideo.command.configuration._composition import config_folder
from gcvideo.command.demo import _serving

_EXTRA = 'needs the extra: pip install "gcvideo[demo]"'
# Notes every address outside this machine that the demo, or a process of it, looks up or connects to.
_WATCH = """
import os, sys
def watch(event, args):
    address = args[1] if event == "socket.connect" else args[0] if event == "socket.getaddrinfo" else None
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, str) and host not in ("127.0.0.1", "::1", "localhost") and "/" not in host:
        with open(os.environ["WATCHED"], "a") as file:
            file.write(f"{event} {host}\\n")
sys.addaudithook(watch)
"""


class Server:
    """A running demo and what visitors can do to it."""

    def __init__(self, process, port, folder):
        self.process, self.port, self.folder = process, port, folder

    def ask(self, path, method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, headers)
        with closing(connection), connection.getresponse() as answer:
            return answer.status, answer.read().decode(errors="replace")

    def upload(self, content, name="clip.mp4"):
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--x--\r\n"
        kind = "multipart/form-data; boundary=x"
        return self.ask("/gradio_api/upload", "POST", body, **{"Content-Type": kind})

    def join(self, path):
        file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        config = json.loads(self.ask("/config")[1])
        number = next(d["id"] for d in config["dependencies"] if d["api_name"] == "classify")
        body = json.dumps({"data": [file], "fn_index": number, "session_hash": "abcdef"})
        kind = {"Content-Type": "application/json"}
        return self.ask("/gradio_api/queue/join", "POST", body, **kind)

    @property
    def uploads(self):
        (folder,) = self.folder.glob("gcvideo-demo-*")
        return [path for path in folder.glob("*/*") if path.is_file()]


@pytest.fixture(scope="module")
def server(nets, tmp_path_factory):
    pytest.importorskip("gradio", reason=_EXTRA, exc_type=ImportError)
    folder = tmp_path_factory.mktemp("server")
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(_WATCH)
    paths = [str(folder / "watch"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "WATCHED": str(folder / "watched.txt"),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        # What may stand in the environment of a user of Gradio.
        "GRADIO_SHARE": "True",
        "GRADIO_ALLOWED_PATHS": str(folder.parent),
    }
    words = [
        "port=0",
        "threshold=0",
        "max_upload_mb=1",
        "max_video_seconds=3",
        "stride_seconds=0.2",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "gcvideo.cli", "demo", str(nets["gc"]), "device=cpu", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = None
        for line in process.stdout:
            if found := re.match(r"page +http://127\.0\.0\.1:(\d+) ", line):
                break
        assert found, process.wait()
        yield Server(process, int(found[1]), folder)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def listener():
    """Another server of this machine, and the paths that it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{other.server_port}", asked
    other.shutdown()
    other.server_close()


@pytest.mark.slow
def test_no_file_of_the_machine_and_no_other_server_can_be_read(server, clips, listener):
    secret = server.folder / "secret.txt"
    secret.write_text("do not show this")
    (uploaded,) = json.loads(server.upload(clips["short"].read_bytes())[1])
    assert Path(uploaded).read_bytes() == clips["short"].read_bytes()
    address, asked = listener
    up = "../" * 12
    for file in (secret, uploaded, Path(gcvideo.__file__), server.folder):
        for route in ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/gradio_api/stream/"):
            for name in (str(file), quote(str(file)), quote(str(file), safe="")):
                status, text = server.ask(route + name)
                assert (status, "do not show" in text) == (404, False), (route, name)
        for start in ("/assets/", "/static/", "/gradio_api/custom_component/1/client/component/"):
            for name in (
                f"{up}{file}",
                quote(f"{up}{file}", safe=""),
                f"/{file}",
                f"..%2f{up}{file}",
            ):
                assert server.ask(start + name)[0] in (404, 403)
    for target in (f"{address}/a", "http://127.0.0.1:22/"):
        for route in ("/gradio_api/proxy=", "/gradio_api/file=", "/file="):
            assert server.ask(route + target)[0] == 404
    for path in (secret, f"{address}/clip.mp4", Path(uploaded).parent, server.folder / "x.mp4"):
        assert server.join(path)[0] == 403
    assert asked == []
    assert secret.exists()
    assert server.upload(b"0" * 2**21)[0] == 413
    assert server.upload(b"0", "../../../escaped.mp4")[0] == 200
    assert not list(server.folder.glob("**/../escaped.mp4"))
    assert all(path.parent.parent.name.startswith("gcvideo-demo-") for path in server.uploads)


@pytest.mark.slow
def test_a_program_gets_the_same_answer_as_the_page(server, nets, clips):
    client = pytest.importorskip("gradio_client", reason=_EXTRA, exc_type=ImportError)
    address = f"http://127.0.0.1:{server.port}"
    asked = client.Client(address, verbose=False, analytics_enabled=False)
    page = asked.predict(client.handle_file(str(clips["long"])), api_name="/classify")
    best = gcvideo.load(nets["gc"]).classify(clips["long"], 1)[0]
    assert best.name.replace("<", "&lt;").replace(">", "&gt;") in page.partition("score")[0]
    with pytest.raises(Exception, match=r"403|Forbidden"):
        asked.predict({"path": "https://example.com/a.mp4", "meta": {"_type": "gradio.FileData"}})
    asked.close()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_the_classes_of_a_video_and_a_message_for_a_broken_file(
    server, nets, clips, tmp_path, width
):
    broken, large = tmp_path / "broken <i>.mp4", tmp_path / "large.mp4"
    broken.write_bytes(clips["long"].read_bytes()[:900])
    large.write_bytes(bytes(2**21))
    with BrowserPage(tmp_path / "profile", width=width) as page:

        def give(path, shown):
            page.send("Page.navigate", url=f"http://127.0.0.1:{server.port}/")
            page.choose_file("#upload input[type=file]", path)
            return page.wait_for(f"(document.querySelector('{shown}') || {{}}).textContent")

        expected = gcvideo.load(nets["gc"]).classify(clips["long"], 5)
        assert give(clips["long"], "#result .ranking .name") == expected[0].name
        shown = page.evaluate(
            "[...document.querySelectorAll('#result .ranking li')].map(li => li.innerText.split('\\n'))"
        )
        assert [name for name, _ in shown] == [p.name for p in expected]
        assert [float(score) for _, score in shown] == pytest.approx(
            [p.score for p in expected], abs=1e-3
        )
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.wait_for("document.querySelectorAll('#result figure video').length == 2")
        page.wait_for(
            "[...document.querySelectorAll('#result video')].every(v => v.videoWidth > 0)"
        )
        seek = "[...document.querySelectorAll('.timeline button')].at(-1)"
        page.evaluate(f"{seek}.click()")
        page.wait_for(f"document.querySelector('.preview').currentTime >= {seek}.dataset.seconds")
        text = give(broken, "#result .message")
        assert text.startswith("This video cannot be classified: ")
        assert "maximum allowed size" in give(large, ".toast-body")
        assert give(clips["short"], "#result .ranking .name")
        assert server.uploads == [] or all(path.name != "long.mp4" for path in server.uploads)
        here = (
            f"http://127.0.0.1:{server.port}/",
            "data:",
            f"blob:http://127.0.0.1:{server.port}/",
        )
        assert [address for address in page.requested if not address.startswith(here)] == []


@pytest.mark.slow
def test_the_server_asks_no_other_machine_and_ends_with_the_status_of_sigterm(server):
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 128 + signal.SIGTERM
    assert list(server.folder.glob("gcvideo-demo-*")) == []
    assert not (server.folder / "watched.txt").exists()


def composed(*words):
    cfg = OmegaConf.load(config_folder() / "demo.yaml")
    return OmegaConf.merge(cfg, OmegaConf.from_dotlist(["checkpoint=none.ckpt", *words]))


@pytest.fixture
def _with_extra(monkeypatch):
    """As if it were installed, for what comes before it is used."""
    monkeypatch.setattr(_serving, "import_packages", lambda *_: [])


@pytest.mark.usefixtures("_with_extra")
def test_a_taken_port_and_a_foreign_host_end_with_the_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ValueError,
            match=rf"port is {port}, .* \(Address already in use\); give another, or port=0",
        ):
            _serving.demo(composed(f"port={port}"))
    with pytest.raises(
        ValueError, match=r"host is '192.0.2.1', which is no address of this machine"
    ):
        _serving.demo(composed("host=192.0.2.1", "port=0"))


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(
        ValueError, match=r'needs the package gradio.*pip install "gcvideo\[demo\]"'
    ):
        _serving.demo(composed())


@pytest.mark.usefixtures("_with_extra")
@pytest.mark.parametrize(("number", "is_normal"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_ctrl_c_is_a_normal_end_and_sigterm_is_not(monkeypatch, capsys, number, is_normal):
    seen = {}

    def serve(cfg, folder, listener):
        seen["folder"] = folder
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
        signal.raise_signal(number)

    monkeypatch.setattr(_serving, "_serve", serve)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    if is_normal:
        _serving.demo(composed("port=0"))
        assert capsys.readouterr().out == "stopped\n"
    else:
        with pytest.raises(KeyboardInterrupt) as stop:
            _serving.demo(composed("port=0"))
        assert stop.value.exit_status == 143
    assert not seen["folder"].exists()
    assert "GRADIO_TEMP_DIR" not in os.environ
    assert os.environ["HF_HUB_OFFLINE"] == "0"

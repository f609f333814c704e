"""The service of examples as its clients meet it, with the package as pip installs it."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from broken_files import damage_packet, truncated
from conftest import numbered_frames
from shared_net import make_shared

import gcvideo
from gcvideo.data import write_video
from gcvideo.inference import classify_windows

pytestmark = pytest.mark.slow
for package in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
    pytest.importorskip(package, reason="needs the extra service")

_SECONDS = 120


class Service:
    """The running program.

    Args:
        process: of the program.
        log: what it prints.
    """

    def __init__(self, process, log):
        self.process, self.log = process, log
        self.port = int(self._await(r"running on http://127\.0\.0\.1:(\d+)")[1])

    def _await(self, pattern):
        end = time.monotonic() + _SECONDS
        while (found := re.search(pattern, self.log.read_text())) is None:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        return found

    def connect(self):
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, _SECONDS))

    def ask(self, path, body=None, **headers):
        with self.connect() as connection:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers["content-type"] == "application/json"
            self.headers = answer.headers
            return answer.status, json.loads(text) if is_json else text

    def until(self, condition):
        end = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def await_ready(self):
        self.until(lambda: self.ask("/readyz")[0] == 200)
        return self

    def metric(self, name, **labels):
        text = ",".join(f'{key}="{value}"' for key, value in labels.items())
        name += f"{{{text}}}" if text else ""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.ask("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    def count(self, status):
        return self.metric("gcvideo_requests_total", status=status)

    def readers(self):
        """Numbers of the processes that read: children of the server that forks them."""
        (server,) = (
            pid
            for pid in children(self.process.pid)
            if b"forkserver" in open(f"/proc/{pid}/cmdline", "rb").read()
        )
        return children(server)

    def signal_readers(self, number):
        for pid in self.readers():
            os.kill(pid, number)


def children(pid):
    text = open(f"/proc/{pid}/task/{pid}/children").read()
    return [int(word) for word in text.split()]


def form(content, name="file"):
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="clip.mp4"\r\n\r\n'
    body = head.encode() + content + b"\r\n--x--\r\n"
    return {"body": body, "Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return make_shared().save_pretrained(tmp_path_factory.mktemp("net") / "net")


@pytest.fixture(scope="module")
def launch(site, net, project, tmp_path_factory):
    """Starts the program in an empty folder with options; ends it if the test does not."""
    with contextlib.ExitStack() as stack:

        def launch(*options):
            folder = tmp_path_factory.mktemp("empty")
            temporary = tmp_path_factory.mktemp("temporary")
            log = tmp_path_factory.mktemp("log") / "log.txt"
            words = [project / "examples" / "service.py", net, "--port=0", "--readers=1", *options]
            with log.open("w") as file:
                process = subprocess.Popen(
                    [sys.executable, *map(str, words)],
                    cwd=folder,
                    env=os.environ
                    | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            stack.callback(process.wait)
            stack.callback(process.kill)
            service = Service(process, log)
            service.folders = folder, temporary
            return service

        yield launch


@pytest.fixture(scope="module")
def service(launch):
    """One that most tests share: two readers, and limits that they reach."""
    options = ["--readers=2", "--queue=1", "--max-upload-mb=0.2", "--max-gigapixels=0.002"]
    return launch(*options, "--time-limit-seconds=3").await_ready()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, numbered_frames(40))
    return path


@pytest.fixture(scope="module")
def classifier(net):
    return gcvideo.load(net, device="cpu").for_inference()


def test_an_upload_is_answered_as_the_classifier_does(service, classifier, clip):
    expected = classifier.classify(clip, top_k=2)
    for upload in ({"body": clip.read_bytes()}, form(clip.read_bytes())):
        status, answer = service.ask("/classify?top_k=2", **upload)
        assert status == 200
        assert [p["label"] for p in answer["predictions"]] == [p.label for p in expected]
        assert [p["name"] for p in answer["predictions"]] == [p.name for p in expected]
        scores = [p["score"] for p in answer["predictions"]]
        assert scores == pytest.approx([p.score for p in expected], abs=1e-5)

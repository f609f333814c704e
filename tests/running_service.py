"""The service of examples as a process, and what its clients and operators do to it."""

import contextlib
import http.client
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parent.parent / "examples" / "service.py"
SECONDS = 300  # after which a test gives up


def require_service():
    """Skip the test where the packages of the service are not installed."""
    for package in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
        pytest.importorskip(package, reason="needs the extra service")


class RunningService:
    """The running program; ``folders`` are those where it may write."""

    def __init__(self, process, log, folders):
        self.process, self.log, self.folders = process, log, folders

    def await_port(self):
        self.until(lambda: "Uvicorn running on" in self.log.read_text())
        self.port = int(re.search(r"running on http://127\.0\.0\.1:(\d+)", self.log.read_text())[1])

    def until(self, condition):
        end = time.monotonic() + SECONDS
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def connect(self):
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, SECONDS))

    def ask(self, path, body=None, **headers):
        """Status and content of the answer."""
        with self.connect() as connection:
            connection.request("GET" if body is None else "POST", path, body, headers)
            return read(connection.getresponse())

    def metric(self, name):
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.ask("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    def count(self, status):
        return self.metric(f'gcvideo_requests_total{{status="{status}"}}')

    def readers(self):
        """Numbers of the processes that read, which another process has forked."""
        (server,) = (
            pid
            for pid in children(self.process.pid)
            if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        return children(server)

    def signal_readers(self, number):
        for pid in self.readers():
            os.kill(pid, number)

    def files(self):
        """Files in the folders where it may write."""
        return [path for folder in self.folders for path in folder.rglob("*") if path.is_file()]


def read(answer):
    text = answer.read().decode()
    is_json = answer.headers["content-type"] == "application/json"
    return answer.status, json.loads(text) if is_json else text


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid):
    """Whether a process has not ended, nor waits for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def form(content):
    head = '--x\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n'
    body = head.encode() + content + b"\r\n--x--\r\n"
    return {"body": body, "Content-Type": "multipart/form-data; boundary=x"}


@contextlib.contextmanager
def posting(service, upload, count):
    """Within, so many clients wait for their answers, which the futures have."""
    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(service.ask, "/classify", upload) for _ in range(count)]


def descriptors(pid):
    return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]

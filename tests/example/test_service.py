"""The service of examples as its clients meet it, with the package as pip installs it."""

import argparse
import asyncio
import contextlib
import http.client
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from broken_files import empty, truncated, web_page
from conftest import numbered_frames
from shared_net import make_shared

import gcvideo
from gcvideo.data import VideoReadError, write_video
from gcvideo.inference import classify_windows

for package in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
    pytest.importorskip(package, reason="needs the extra service")

PROGRAM = Path(__file__).resolve().parent.parent.parent / "examples" / "service.py"
_SECONDS = 120  # after which a test gives up
_TIME_LIMIT, _GRACE = 4, 2
_OPTIONS = ["--readers=2", "--queue=1", "--max-upload-mb=0.2", "--max-gigapixels=0.002"]
_OPTIONS += [f"--time-limit-seconds={_TIME_LIMIT}", f"--grace-seconds={_GRACE}"]


class Service:
    """The running program, and what clients and operators do to it."""

    def __init__(self, process, log, folders):
        self.process, self.log, self.folders = process, log, folders

    def await_port(self):
        self.until(lambda: "Uvicorn running on" in self.log.read_text())
        self.port = int(re.search(r"running on http://127\.0\.0\.1:(\d+)", self.log.read_text())[1])

    def until(self, condition):
        end = time.monotonic() + _SECONDS
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def connect(self):
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, _SECONDS))

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


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return make_shared().save_pretrained(tmp_path_factory.mktemp("net") / "net")


@pytest.fixture(scope="module")
def launch(site, net, tmp_path_factory):
    """Starts the program with options, in an empty folder."""
    with contextlib.ExitStack() as stack:

        def launch(*options):
            folder = tmp_path_factory.mktemp("service")
            log, work, temporary = folder / "log.txt", folder / "work", folder / "temporary"
            work.mkdir()
            temporary.mkdir()
            own = {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
            with log.open("w") as file:
                process = subprocess.Popen(
                    [sys.executable, PROGRAM, net, "--port=0", *options],
                    cwd=work,
                    env=os.environ | own,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return Service(process, log, (work, temporary))

        yield launch


@pytest.fixture(scope="module")
def launched():
    return []


@pytest.fixture
def service(launch, launched):
    """A ready one, whose limits can be reached; a test that ended it leaves the next a new one."""
    if not launched or launched[-1].process.poll() is not None:
        launched.append(launch(*_OPTIONS))
        launched[-1].await_port()
    launched[-1].until(lambda: launched[-1].ask("/readyz")[0] == 200)
    return launched[-1]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, numbered_frames(40))
    return path


@pytest.fixture(scope="module")
def classifier(net):
    return gcvideo.load(net, device="cpu").for_inference()


@pytest.fixture(scope="module")
def module():
    specification = importlib.util.spec_from_file_location("service", PROGRAM)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@contextlib.contextmanager
def posting(service, upload, count):
    """Within, so many clients wait for their answers, which the futures have."""
    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(service.ask, "/classify", upload) for _ in range(count)]


def check_ranking(rows, expected):
    assert [(row["label"], row["name"]) for row in rows] == [(p.label, p.name) for p in expected]
    assert [row["score"] for row in rows] == pytest.approx([p.score for p in expected], abs=1e-5)


class HeldNet:
    """A net that gives the number of each clip, once it may."""

    def __init__(self):
        self.may_go, self.sizes = threading.Event(), []

    def logits(self, views):
        self.sizes.append(views.shape[1])
        assert self.may_go.wait(_SECONDS)
        if views.max() > 100:
            raise ValueError("a number above 100")
        return views[:, :, :1].float()


@pytest.mark.parametrize("last", [3, 101])
def test_clips_that_wait_while_the_net_works_share_the_next_pass(module, last):
    held = HeldNet()
    net = module.SharedNet(held)
    clips = [np.full((count, 2), number) for number, count in ((1, 1), (2, 3), (last, 2))]
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(net.logits, clips[0])]
        while not held.sizes:
            time.sleep(0.001)
        found += [pool.submit(net.logits, clip) for clip in clips[1:]]
        while len(net.waiting) < 2:
            time.sleep(0.001)
        held.may_go.set()
    assert held.sizes == [1, 5]
    np.testing.assert_array_equal(found[0].result(), [[1]])
    if last == 3:
        np.testing.assert_array_equal(found[1].result(), [[2], [2], [2]])
        np.testing.assert_array_equal(found[2].result(), [[3], [3]])
    for future in found[1:] if last == 101 else []:
        with pytest.raises(ValueError, match="above 100"):
            future.result()


def test_a_service_whose_warm_up_fails_ends_and_says_why(module, monkeypatch):
    options = argparse.Namespace(readers=0, queue=0, time_limit_seconds=1)
    service, raised = module.Service(make_shared(), options), []
    service.readers = [None]

    async def answer(*_):
        raise module.HTTPException(422, "the net has no memory")

    monkeypatch.setattr(service, "answer", answer)
    monkeypatch.setattr(module.signal, "raise_signal", raised.append)
    asyncio.run(service.warm_up())
    assert raised == [signal.SIGTERM]
    assert service.failure == "the service has not become ready: the net has no memory"
    assert not service.is_ready


@pytest.mark.slow
def test_an_upload_is_answered_as_the_classifier_does(service, classifier, clip):
    for upload in ({"body": clip.read_bytes()}, form(clip.read_bytes())):
        status, answer = service.ask("/classify?top_k=2", **upload)
        assert status == 200
        check_ranking(answer["predictions"], classifier.classify(clip, top_k=2))


@pytest.mark.slow
def test_with_a_stride_the_answer_is_the_timeline(service, classifier, tmp_path):
    path = tmp_path / "long.mp4"
    write_video(path, np.concatenate([numbered_frames(40)] * 10))
    status, answer = service.ask("/classify?stride_seconds=1&top_k=1", path.read_bytes())
    assert status == 200
    expected = classify_windows(classifier, path, stride_seconds=1, progress=False)
    windows = answer["windows"]
    assert len(windows) == 15
    assert [window["start_seconds"] for window in windows] == expected.starts.tolist()
    assert [window["end_seconds"] for window in windows] == expected.ends.tolist()
    for window, scores in zip(windows, expected.scores, strict=True):
        check_ranking(window["predictions"], classifier.rank(scores, 1))


@pytest.mark.slow
@pytest.mark.parametrize("breaking", [empty, web_page, truncated])
def test_a_broken_upload_gets_the_reason_and_no_path(service, classifier, clip, tmp_path, breaking):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.read_bytes())
    breaking(path)
    with pytest.raises(VideoReadError) as caught:
        classifier.classify(path)
    before = service.count(422)
    status, answer = service.ask("/classify", path.read_bytes())
    assert status == 422
    detail = f"cannot read the video: {caught.value.reason}; {caught.value.remedy}"
    assert answer == {"detail": detail}
    assert "/" not in detail
    assert service.count(422) == before + 1


@pytest.mark.slow
def test_what_is_no_upload_or_has_a_wrong_query_is_refused(service, clip):
    content = clip.read_bytes()
    nothing = form(b"")
    nothing["body"] = nothing["body"].replace(b'; filename="clip.mp4"', b"")
    status, answer = service.ask("/classify", **nothing)
    assert (status, answer["detail"][:16]) == (400, "there is no file")
    for query in ("top_k=0", "stride_seconds=0", "stride_seconds=nan", "stride_seconds=x"):
        status, answer = service.ask(f"/classify?{query}", content)
        assert (status, answer["detail"][0]["loc"]) == (422, ["query", query.partition("=")[0]])
    assert service.ask("/classify")[0] == 405
    assert service.ask("/docs")[0] == 404


@pytest.mark.slow
def test_too_much_is_refused_while_it_arrives(service, tmp_path):
    before, large = service.count(413), bytes(2**20)
    chunks = (large[: 2**14] for _ in range(2**6))
    for upload in ({"body": large}, {"body": chunks}, form(large)):
        status, answer = service.ask("/classify", **upload)
        assert (status, answer["detail"]) == (413, "an upload may have 0.2 MB; send less")
    assert service.count(413) == before + 3
    path = tmp_path / "long.mp4"
    write_video(path, np.concatenate([numbered_frames(40)] * 20))
    status, answer = service.ask("/classify", path.read_bytes())
    reason = "it has 800 frames of 64 x 48 pixels; send at most 0.002 gigapixels"
    assert (status, answer["detail"]) == (422, f"cannot read the video: {reason}")


@pytest.mark.slow
def test_more_requests_than_places_are_told_to_come_back(service, clip):
    service.signal_readers(signal.SIGSTOP)
    with posting(service, clip.read_bytes(), 3) as waiting:
        service.until(lambda: service.metric("gcvideo_requests_waiting") == 1)
        with service.connect() as connection:
            connection.request("POST", "/classify", clip.read_bytes())
            answer = connection.getresponse()
            assert answer.headers["Retry-After"] == "1"
            assert read(answer) == (503, {"detail": "all places are taken; try again"})
        service.signal_readers(signal.SIGCONT)
    assert [future.result()[0] for future in waiting] == [200] * 3
    assert service.metric("gcvideo_requests_waiting") == 0


@pytest.mark.slow
def test_what_hangs_ends_with_its_time_and_leaves_the_service_whole(service, clip):
    hanging = service.readers()
    service.signal_readers(signal.SIGSTOP)
    start = time.monotonic()
    with service.connect() as slow, posting(service, clip.read_bytes(), 2) as waiting:
        slow.request("POST", "/classify", b"half", {"Content-Length": "8"})
        assert service.files() == []  # an upload has no name
        status, answer = read(slow.getresponse())
    assert _TIME_LIMIT <= time.monotonic() - start < 3 * _TIME_LIMIT
    reason = f"after {_TIME_LIMIT} s; send a shorter or smaller video"
    assert (status, answer["detail"]) == (408, f"it is not uploaded {reason}")
    for future in waiting:
        assert future.result() == (504, {"detail": f"it is not answered {reason}"})
    assert service.ask("/classify", clip.read_bytes())[0] == 200
    service.until(lambda: not any(map(is_alive, hanging)))


@pytest.mark.slow
def test_a_reader_that_dies_costs_at_most_the_file_it_reads(service, clip):
    service.signal_readers(signal.SIGKILL)
    service.until(lambda: service.readers() == [])
    for _ in range(2):
        assert service.ask("/classify", clip.read_bytes())[0] == 200
    service.signal_readers(signal.SIGSTOP)
    with posting(service, clip.read_bytes(), 1) as waiting:
        service.until(lambda: service.metric('gcvideo_seconds_count{stage="wait"}') > 0)
        time.sleep(0.3)
        service.signal_readers(signal.SIGKILL)
    assert waiting[0].result() == (422, {"detail": "its reader died; re-encode the video"})


@pytest.mark.slow
def test_a_client_that_hangs_up_is_counted_and_no_error(service):
    before = service.count(499)
    with service.connect() as connection:
        connection.request("POST", "/classify", b"half", {"Content-Length": "8"})
    service.until(lambda: service.count(499) == before + 1)
    assert "Traceback" not in service.log.read_text()


@pytest.mark.slow
def test_metrics_count_requests_and_time_their_stages(service, clip):
    stages = [f'gcvideo_seconds_count{{stage="{s}"}}' for s in ("wait", "read", "net", "total")]
    before, count = [service.metric(stage) for stage in stages], service.count(200)
    for _ in range(3):
        service.ask("/classify", clip.read_bytes())
    assert [service.metric(stage) for stage in stages] == [number + 3 for number in before]
    assert service.count(200) == count + 3
    assert service.count(500) == 0
    assert service.ask("/healthz") == (200, {"status": "alive"})


@pytest.mark.slow
def test_the_load_of_the_benchmarks_finds_no_fault(service, benchmark, clip, monkeypatch, capsys):
    load = benchmark("service_load")
    running = object.__new__(load.Service)
    running.process, running.port, running.stop = service.process, service.port, list
    monkeypatch.setattr(load, "running", lambda *_: contextlib.nullcontext(running))
    words = ["--requests=60", "--clients=3", "--broken=0.2"]
    status = load.main(["net", str(clip), *words])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    (good, broken) = re.findall(r"^(?:good|broken) .*  (\d+) x (?:200|422)$", printed.out, re.M)
    assert int(good) + int(broken) == 60
    assert int(broken) > 3
    assert re.search(r"^after 60 +\d+\.\d +\d+\.\d +5$", printed.out, re.M)


@pytest.mark.slow
def test_sigterm_finishes_what_is_in_flight_within_its_limit(service, clip):
    service.signal_readers(signal.SIGSTOP)
    first, hanging = service.readers()
    served = service.metric('gcvideo_seconds_count{stage="wait"}')
    with posting(service, clip.read_bytes(), 2) as waiting:
        service.until(lambda: service.metric('gcvideo_seconds_count{stage="wait"}') == served + 2)
        service.process.terminate()
        service.until(lambda: "Shutting down" in service.log.read_text())
        with pytest.raises(ConnectionRefusedError):
            service.ask("/healthz")
        os.kill(first, signal.SIGCONT)
        assert service.process.wait(_SECONDS) == 0
    ended = [future.exception() or future.result()[0] for future in waiting]
    assert ended.count(200) == 1  # the other one hangs
    assert service.files() == []
    assert not is_alive(hanging)


@pytest.mark.slow
def test_a_service_that_is_killed_leaves_neither_files_nor_processes(launch, clip):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    service = launch("--readers=1", "--engine=openvino", "--precision=float32", "--device=cpu")
    service.await_port()
    status, answer = service.ask("/classify", clip.read_bytes())
    assert (status, answer["detail"]) == (503, "the net is warming up; try again")
    service.until(lambda: service.ask("/readyz")[0] == 200)
    assert "float32 by openvino" in service.log.read_text()
    (reader,) = service.readers()
    before = service.files()
    with service.connect() as connection:
        connection.request("POST", "/classify", bytes(2**20), {"Content-Length": str(2**21)})
        service.until(lambda: any("(deleted)" in name for name in descriptors(service.process.pid)))
        service.process.kill()
        service.process.wait()
    assert service.files() == before
    end = time.monotonic() + _SECONDS
    while is_alive(reader):
        assert time.monotonic() < end
        time.sleep(0.02)


def descriptors(pid):
    return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]


def test_the_image_is_made_of_files_that_there_are_and_asks_the_port_that_it_serves(project):
    text = (project / "examples" / "Dockerfile").read_text()
    sources = " ".join(re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE)).split()
    assert "examples/service.py" in sources
    assert all((project / source).exists() for source in sources)
    (served,) = re.findall(r'ENTRYPOINT .*"--port", "(\d+)"\]', text)
    assert set(re.findall(r"EXPOSE (\d+)|127\.0\.0\.1:(\d+)/healthz", text)) == {
        (served, ""),
        ("", served),
    }

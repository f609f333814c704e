"""Parts of the service of examples, in the process of the test."""

import argparse
import asyncio
import importlib.util
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
from running_service import PROGRAM, SECONDS, require_service
from shared_net import make_shared


@pytest.fixture(scope="module")
def module():
    require_service()
    specification = importlib.util.spec_from_file_location("service", PROGRAM)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class HeldNet:
    """A net that gives the number of each clip, once it may."""

    def __init__(self):
        self.may_go, self.sizes = threading.Event(), []

    def logits(self, views):
        self.sizes.append(views.shape[1])
        assert self.may_go.wait(SECONDS)
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


def test_the_program_does_as_its_options_say(module, monkeypatch):
    loaded, calls = mock.Mock(), mock.Mock()
    loaded.for_inference.return_value = make_shared()
    calls.load.return_value = loaded
    processes = mock.Mock(Pipe=lambda: (mock.Mock(), mock.Mock()))
    monkeypatch.setattr(module.gcvideo, "load", calls.load)
    monkeypatch.setattr(module.uvicorn, "run", calls.run)
    monkeypatch.setattr(module.signal, "signal", calls.signal)
    monkeypatch.setattr(module, "PROCESSES", processes)
    words = ["net", "--device=cpu", "--engine=openvino", "--precision=float16", "--readers=3"]
    words += ["--host=::1", "--port=7", "--grace-seconds=5"]
    monkeypatch.setattr(sys, "argv", ["service.py", *words])
    module.main()
    calls.load.assert_called_once_with("net", device="cpu")
    loaded.for_inference.assert_called_once_with(engine="openvino", precision="float16")
    limits = {"timeout_keep_alive": 75, "timeout_graceful_shutdown": 5}
    calls.run.assert_called_once_with(mock.ANY, host="::1", port=7, **limits)
    assert processes.Process.call_count == 3
    number, handler = calls.signal.call_args.args
    assert number == signal.SIGTERM
    with pytest.raises(SystemExit) as ended:
        handler()
    assert ended.value.code is None


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

import contextlib
import os
import subprocess
import sys

import pytest
from conftest import numbered_frames
from running_service import PROGRAM, RunningService, require_service
from shared_net import make_shared

import gcvideo
from gcvideo.data import write_video

_TIME_LIMIT = 4
_OPTIONS = ["--readers=2", "--queue=1", "--max-upload-mb=0.2", "--max-gigapixels=0.002"]
_OPTIONS += [f"--time-limit-seconds={_TIME_LIMIT}", "--grace-seconds=2"]


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    return make_shared().save_pretrained(tmp_path_factory.mktemp("net") / "net")


@pytest.fixture(scope="session")
def launch(site, net, tmp_path_factory):
    """Starts the program with options, in an empty folder."""
    require_service()
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
            return RunningService(process, log, (work, temporary))

        yield launch


@pytest.fixture(scope="session")
def launched():
    return []


@pytest.fixture(scope="session")
def time_limit():
    """Seconds that a request to the service may take."""
    return _TIME_LIMIT


@pytest.fixture
def service(launch, launched):
    """A ready one, whose limits can be reached; a test that ended it leaves the next a new one."""
    if not launched or launched[-1].process.poll() is not None:
        launched.append(launch(*_OPTIONS))
        launched[-1].await_port()
    launched[-1].until(lambda: launched[-1].ask("/readyz")[0] == 200)
    return launched[-1]


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, numbered_frames(40))
    return path


@pytest.fixture(scope="session")
def classifier(net):
    return gcvideo.load(net, device="cpu").for_inference()

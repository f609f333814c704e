import contextlib
import os
import signal
import threading
import time
import traceback
from collections import defaultdict

import pytest
from small_protocol import make_protocol

from gcvideo.data import (
    EvaluationVideos,
    TrainingVideos,
    TrainTransform,
    VideoReadError,
    read_annotations,
)
from gcvideo.data.video._deadline import run_within

BLOCKED = ("dark_0.mp4", "pipe.mp4")


@pytest.fixture
def waited(monkeypatch):
    """Seconds that each read was given, by path."""
    seconds = defaultdict(list)

    class Watched(threading.Thread):
        def join(self, timeout=None):
            seconds[self.name.removeprefix("read ")].append(timeout)
            super().join(timeout)

    monkeypatch.setattr("gcvideo.data.video._deadline.Thread", Watched)
    return seconds


@pytest.fixture
def fifo(tmp_path):
    """Opening it for reading blocks for ever in the kernel; a writer sets it free."""
    path = str(tmp_path / "pipe.mp4")
    os.mkfifo(path)
    yield path
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


def test_a_blocked_read_is_named_after_its_budget(fifo, waited):
    with pytest.raises(
        VideoReadError,
        match=r"pipe\.mp4': it was not read within its budget of 0\.2 seconds; check the disk or "
        r"mount it lies on, or raise data\.time_budget_seconds",
    ):
        run_within(0.2, fifo, lambda: os.open(fifo, os.O_RDONLY))
    (path,) = (path for path in waited if path.endswith(BLOCKED))
    assert sum(waited[path]) == pytest.approx(
        0.2
    )  # one budget, whatever the machine does beside it


def test_a_blocked_read_does_not_keep_python_from_exiting(fifo):
    with pytest.raises(VideoReadError):
        run_within(0.1, fifo, lambda: os.open(fifo, os.O_RDONLY))
    (stuck,) = (thread for thread in threading.enumerate() if thread.name == f"read {fifo}")
    assert stuck.daemon


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_time_in_which_the_process_is_stopped_does_not_count():
    child = os.fork()
    if not child:  # reads for 0.5 of its 1.5 seconds
        with contextlib.suppress(VideoReadError):
            run_within(1.5, "a.mp4", lambda: time.sleep(0.5))
            os._exit(7)
        os._exit(1)
    time.sleep(0.2)
    os.kill(child, signal.SIGSTOP)
    time.sleep(2)
    os.kill(child, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("seconds", [None, 5.0])
def test_results_and_exceptions_come_through_with_their_origin(seconds):
    def fail():
        raise TimeoutError("of the network")

    assert run_within(seconds, "a.mp4", lambda: 7) == 7
    with pytest.raises(TimeoutError, match="of the network") as caught:
        run_within(seconds, "a.mp4", fail)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "fail"


@pytest.fixture
def blocking_reader(monkeypatch, fifo):
    """Readers of the first video block."""

    class Reader:
        def __init__(self, path, **_):
            if path.endswith("dark_0.mp4"):
                os.close(os.open(fifo, os.O_RDONLY))
            raise VideoReadError(path, "it is not the first")

    monkeypatch.setattr("gcvideo.data.loading._dataset.VideoReader", Reader)


@pytest.mark.usefixtures("blocking_reader")
def test_an_evaluation_names_the_file_that_blocks(video_folder, waited):
    videos = EvaluationVideos(
        read_annotations(video_folder, root=video_folder),
        protocol=make_protocol(),
        time_budget_seconds=0.2,
    )
    with pytest.raises(VideoReadError, match=r"dark_0\.mp4': it was not read within its budget"):
        videos[0]
    (path,) = (path for path in waited if path.endswith(BLOCKED))
    assert sum(waited[path]) == pytest.approx(
        0.2
    )  # one budget, whatever the machine does beside it


@pytest.mark.usefixtures("blocking_reader")
def test_training_reports_the_file_that_blocks(video_folder, waited):
    videos = TrainingVideos(
        read_annotations(video_folder, root=video_folder),
        protocol=make_protocol(),
        transform=TrainTransform([]),
        time_budget_seconds=0.2,
    )
    with pytest.raises(
        VideoReadError,
        match=r"dark_0\.mp4': it was not read within its budget of 0\.2 seconds; none of the 10 "
        r"videos tried in its place can be read either, such as '.*' \(it is not the first\); check data\.root",
    ):
        videos[0, 0]
    (path,) = (path for path in waited if path.endswith(BLOCKED))
    assert sum(waited[path]) == pytest.approx(
        0.2
    )  # one budget, whatever the machine does beside it

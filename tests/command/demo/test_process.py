import os
import signal
import time
from threading import Thread

import pytest

from gcvideo.command.demo._process import AnswerError, AnswerProcess


class Job:
    """Does what its item says; counts its items, to tell one process from the next."""

    def __init__(self, fails_at_start=None):
        self.fails_at_start = fails_at_start
        self.count = 0

    def __call__(self, item):
        if item is None and self.fails_at_start is not None:
            raise self.fails_at_start
        if item == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "hang":
            time.sleep(600)
        if item == "refuse":
            raise ValueError("refused")
        self.count += item is not None
        return self.count


@pytest.mark.slow
def test_one_item_after_another_is_answered_whatever_became_of_those_before():
    process = AnswerProcess(Job(), time_limit_seconds=1.5)
    try:
        assert process.ask("a") == 1
        with pytest.raises(ValueError, match="refused"):
            process.ask("refuse")
        assert process.ask("a") == 2  # still the same process
        start = time.monotonic()
        with pytest.raises(
            AnswerError, match=r"more than 1.5 seconds, .*time_limit_seconds; try a sh"
        ):
            process.ask("hang")
        assert time.monotonic() - start < 60
        assert process.ask("a") == 1
        with pytest.raises(AnswerError, match="died; try another video"):
            process.ask("crash")
        assert process.ask("a") == 1
        failures = []

        def hang():
            try:
                process.ask("hang")
            except AnswerError as error:
                failures.append(str(error))

        process.time_limit_seconds = 600
        asking = Thread(target=hang)
        asking.start()
        time.sleep(0.3)
    finally:
        process.close()
    asking.join(30)
    assert len(failures) == 1  # the process is ended, and nothing waits for its answer


@pytest.mark.slow
def test_what_a_job_raises_when_it_makes_itself_ready_is_raised_at_once():
    with pytest.raises(ValueError, match="no such net"):
        AnswerProcess(Job(ValueError("no such net")), time_limit_seconds=5)

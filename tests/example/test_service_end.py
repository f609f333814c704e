"""The service of examples with too much to do, with readers that hang or die, and at its end."""

import os
import signal
import time

import pytest
from running_service import SECONDS, descriptors, is_alive, posting, read

pytestmark = pytest.mark.slow


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


def test_what_hangs_ends_with_its_time_and_leaves_the_service_whole(service, clip, time_limit):
    hanging = service.readers()
    service.signal_readers(signal.SIGSTOP)
    start = time.monotonic()
    with service.connect() as slow, posting(service, clip.read_bytes(), 2) as waiting:
        slow.request("POST", "/classify", b"half", {"Content-Length": "8"})
        assert service.files() == []  # an upload has no name
        status, answer = read(slow.getresponse())
    assert time_limit <= time.monotonic() - start < 3 * time_limit
    reason = f"after {time_limit} s; send a shorter or smaller video"
    assert (status, answer["detail"]) == (408, f"it is not uploaded {reason}")
    for future in waiting:
        assert future.result() == (504, {"detail": f"it is not answered {reason}"})
    assert service.ask("/classify", clip.read_bytes())[0] == 200
    service.until(lambda: not any(map(is_alive, hanging)))


def test_a_reader_that_dies_costs_at_most_the_file_it_reads(service, clip):
    service.signal_readers(signal.SIGKILL)
    service.until(lambda: service.readers() == [])
    for _ in range(2):
        assert service.ask("/classify", clip.read_bytes())[0] == 200
    served = service.metric('gcvideo_seconds_count{stage="wait"}')
    service.signal_readers(signal.SIGSTOP)
    with posting(service, clip.read_bytes(), 1) as waiting:
        service.until(lambda: service.metric('gcvideo_seconds_count{stage="wait"}') == served + 1)
        time.sleep(0.3)
        service.signal_readers(signal.SIGKILL)
    assert waiting[0].result() == (422, {"detail": "its reader died; re-encode the video"})
    for _ in range(2):
        assert service.ask("/classify", clip.read_bytes())[0] == 200
    assert len(service.readers()) == 2


def test_a_client_that_hangs_up_is_counted_and_no_error(service):
    before = service.count(499)
    with service.connect() as connection:
        connection.request("POST", "/classify", b"half", {"Content-Length": "8"})
    service.until(lambda: service.count(499) == before + 1)
    assert "Traceback" not in service.log.read_text()


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
        assert service.process.wait(SECONDS) == 0
    ended = [future.exception() or future.result()[0] for future in waiting]
    assert ended.count(200) == 1  # the other one hangs
    assert service.files() == []
    assert not is_alive(hanging)


def test_a_service_that_is_killed_leaves_neither_files_nor_processes(launch, clip):
    service = launch("--readers=1")
    service.await_port()
    status, answer = service.ask("/classify", clip.read_bytes())
    assert (status, answer["detail"]) == (503, "the net is warming up; try again")
    service.until(lambda: service.ask("/readyz")[0] == 200)
    (reader,) = service.readers()
    before = service.files()
    with service.connect() as connection:
        connection.request("POST", "/classify", bytes(2**20), {"Content-Length": str(2**21)})
        service.until(lambda: any("(deleted)" in name for name in descriptors(service.process.pid)))
        service.process.kill()
        service.process.wait()
    assert service.files() == before
    end = time.monotonic() + SECONDS
    while is_alive(reader):
        assert time.monotonic() < end
        time.sleep(0.02)

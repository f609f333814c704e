import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from gcvideo.data import _parallel
from gcvideo.data._parallel import parallel_map, tell_progress
from gcvideo.data._process_error import ProcessDiedError, ProcessStuckError


def square(number):
    return number * number


def exit_on(fatal, number):
    if number == fatal:
        os._exit(7)
    return square(number)


def die_once(marks, number):
    """Dies on the first touch of 3: the mark outlives the process."""
    if number == 3 and not (marks / "3").exists():
        (marks / "3").touch()
        os.kill(os.getpid(), 11)
    return square(number)


def refuse_two(number):
    if number == 2:
        raise KeyError("two is refused")
    return square(number)


def linger(folder, number):
    draft = folder / f"draft_{number}"
    draft.touch()
    try:
        time.sleep(0 if number == 0 else 60)
    finally:
        draft.unlink()
    return number


def is_child_of(parent, _):
    return os.getppid() == parent


def exit_at_once(*_):
    os._exit(3)


def test_results_are_those_of_a_plain_map_each_once():
    items = list(range(-20, 20))
    for num_workers in (0, 2):
        pairs = list(parallel_map(square, items, description="Squares", num_workers=num_workers))
        assert sorted(pairs) == [(index, item * item) for index, item in enumerate(items)]


def test_without_a_description_there_is_no_bar(capsys):
    assert dict(parallel_map(square, [1, 2], description=None, num_workers=0)) == {0: 1, 1: 4}
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux alone")
def test_copies_of_this_process_give_the_results_of_a_plain_map():
    settings = {"description": None, "num_workers": 2, "fork": True}
    pairs = parallel_map(lambda number: -number, range(40), **settings)  # not picklable
    assert sorted(pairs) == [(number, -number) for number in range(40)]
    children = parallel_map(partial(is_child_of, os.getpid()), range(4), **settings)
    assert all(is_child for _, is_child in children)
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux alone")
def test_copies_end_when_their_parent_is_killed(tmp_path, project):
    script = """
import os, sys, time
from pathlib import Path
from gcvideo.data._parallel import parallel_map
def work(number):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(0.01)
for _ in parallel_map(work, range(10**6), description=None, num_workers=3, fork=True):
    pass
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], env={**os.environ, "PYTHONPATH": str(project)}
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = [int(path.name) for path in tmp_path.iterdir()]
    assert len(children) == 3
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, children))


def is_running(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_no_items_give_no_results():
    assert list(parallel_map(square, [], description="Nothing", num_workers=2)) == []


def test_an_item_that_kills_its_process_twice_is_named_and_no_other_is_lost():
    items = [10, 11, 12, 13, 14, 15]
    function = partial(exit_on, 12)
    results = dict(parallel_map(function, items, description="Squares", num_workers=2))
    died = results.pop(2)
    assert isinstance(died, ProcessDiedError)
    assert str(died) == (
        "the process that worked on 12 died twice (exit code 7); leave the item out, or free some "
        "memory if it ran out"
    )
    assert results == {index: items[index] ** 2 for index in (0, 1, 3, 4, 5)}


def test_an_item_whose_process_died_once_gets_its_result_last(tmp_path):
    function = partial(die_once, tmp_path)
    pairs = list(parallel_map(function, range(8), description="Squares", num_workers=2))
    assert dict(pairs) == {number: number * number for number in range(8)}
    assert pairs[-1] == (3, 9)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_exception_of_the_function_arrives(num_workers):
    with pytest.raises(KeyError, match="two is refused"):
        list(parallel_map(refuse_two, range(5), description="Squares", num_workers=num_workers))


def test_leaving_early_ends_the_processes_and_lets_them_clean_up(tmp_path):
    results = parallel_map(
        partial(linger, tmp_path), range(4), description="Waiting", num_workers=2
    )
    assert next(results) == (0, 0)
    while not list(tmp_path.iterdir()):
        time.sleep(0.01)
    start = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 10
    assert multiprocessing.active_children() == []
    assert list(tmp_path.iterdir()) == []


def test_processes_that_cannot_start_are_told_apart_from_deadly_items(monkeypatch):
    monkeypatch.setattr("gcvideo.data._parallel._serve", exit_at_once)
    with pytest.raises(RuntimeError, match=r"ended before its first item .exit code 3.; start"):
        list(parallel_map(square, [1, 2], description="Squares", num_workers=1))


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(ValueError, match="num_workers is -1; give 0"):
        parallel_map(square, [1], description="Squares", num_workers=-1)


def test_without_a_terminal_one_line_tells_how_much_was_done(capsys):
    list(parallel_map(square, [1, 2, 3], description="Squares", num_workers=0))
    # An empty line of rich may come first.
    assert capsys.readouterr().err.strip() == "Squares: 3 of 3 in 0 s"


def hang(folder, number):
    """Item 1 never ends, and takes no signal that can be refused."""
    if number == 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / "pid").write_text(str(os.getpid()))
        while True:
            pass
    return square(number)


def test_a_process_that_hangs_is_killed_and_its_item_named(tmp_path):
    work = partial(hang, tmp_path)
    settings = {"description": None, "num_workers": 2, "seconds": 0.5}
    started = time.monotonic()
    results = dict(parallel_map(work, range(6), **settings))
    assert time.monotonic() - started < 30
    stuck = results.pop(1)
    assert isinstance(stuck, ProcessStuckError)
    assert str(stuck).startswith("the process that worked on 1 was killed after 0.5 seconds; leave")
    assert results == {number: square(number) for number in (0, 2, 3, 4, 5)}
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def go_on(number):
    """Item 0 takes longer than the limit but tells of its progress, item 1 does not."""
    for _ in range(5):
        time.sleep(0.2)
        if number == 0:
            tell_progress()
    return number


def test_an_item_that_tells_its_progress_is_not_killed():
    settings = {"description": None, "num_workers": 2, "seconds": 0.6}
    results = dict(parallel_map(go_on, range(2), **settings))
    assert results[0] == 0
    assert isinstance(results[1], ProcessStuckError)
    assert dict(parallel_map(go_on, [0], description=None, num_workers=0)) == {0: 0}


def nap(number):
    time.sleep(0.2)
    return number


def test_time_in_which_the_machine_slept_does_not_count(monkeypatch):
    moments = iter(range(0, 10**6, 1000))
    monkeypatch.setattr(_parallel.time, "monotonic", lambda: float(next(moments)))
    results = parallel_map(nap, range(2), description=None, num_workers=1, seconds=60)
    assert dict(results) == {0: 0, 1: 1}

"""Videos that are listed in another process, begun before torch is imported."""

import os
import subprocess
import sys
from textwrap import dedent

import pytest

from gcvideo.command._listing import Listing


def run(code, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=60, **kwargs
    )


def make_videos(folder):
    for name in ("a.mp4", "b/c.mp4", "b/d.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")


def test_with_torch_imported_the_videos_are_listed_here(tmp_path):
    make_videos(tmp_path)
    assert "torch" in sys.modules
    with Listing([str(tmp_path)]) as listing:
        found = listing.wait()
    assert [*found.paths] == [str(tmp_path / "a.mp4"), str(tmp_path / "b/c.mp4")]


_AHEAD = """
    import multiprocessing, os, sys
    from gcvideo.command._listing import Listing

    with Listing({patterns}) as listing:
        ahead = len(multiprocessing.active_children())
        import torch
        try:
            found = listing.wait()
        except FileNotFoundError as error:
            print(ahead, "error", error)
        else:
            print(ahead, [*found.paths], sorted(found.missing))
    print(len(multiprocessing.active_children()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="copies of a process are made on Linux alone")
def test_ahead_of_torch_another_process_lists_them_and_its_errors_come_here(tmp_path):
    make_videos(tmp_path)
    found = run(_AHEAD.format(patterns=["b", "a.mp4", "gone"]), cwd=tmp_path)
    assert found.stdout.splitlines() == ["1 ['b/c.mp4', 'a.mp4', 'gone'] [2]", "0"], found.stderr
    lost = run(_AHEAD.format(patterns=["gone"]), cwd=tmp_path)
    assert lost.stdout.startswith("1 error no video at 'gone'; give a file"), lost.stderr
    assert "Traceback" not in lost.stderr


def test_what_comes_by_the_standard_input_is_listed_here(tmp_path):
    make_videos(tmp_path)
    found = run(_AHEAD.format(patterns=["b", "-"]), cwd=tmp_path, input="a.mp4\n")
    assert found.stdout.splitlines() == ["0 ['b/c.mp4', 'a.mp4'] []", "0"], found.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="copies of a process are made on Linux alone")
def test_if_the_other_process_is_killed_the_videos_are_listed_here(tmp_path):
    make_videos(tmp_path)
    killed = _AHEAD.replace(
        "import torch",
        "os.kill(multiprocessing.active_children()[0].pid, 9)",
    )
    found = run(killed.format(patterns=["a.mp4"]), cwd=tmp_path)
    assert found.stdout.splitlines() == ["1 ['a.mp4'] []", "0"], found.stderr


def test_the_commands_on_videos_import_torch_only_after_they_have_begun_to_list(tmp_path):
    code = """
        import sys
        import gcvideo.command.predict._start
        print("torch" in sys.modules)
    """
    assert run(code, env={**os.environ}).stdout.strip() == "False"

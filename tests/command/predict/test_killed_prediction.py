"""A command that is killed, in a process of its own, goes on where it was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from predicted import rows_of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "suffix"),
    [
        (signal.SIGINT, 130, "jsonl"),
        (signal.SIGTERM, 143, "csv"),
        (signal.SIGKILL, -signal.SIGKILL, "jsonl"),
    ],
)
def test_a_killed_command_goes_on_where_it_was(
    tmp_path, video_folder, checkpoint, project, number, status, suffix
):
    folder, output = tmp_path / "many", tmp_path / f"out.{suffix}"
    folder.mkdir()
    for video in range(3000):
        (folder / f"{video:04d}.mp4").symlink_to(video_folder / "dark" / "dark_0.mp4")
    words = [f"checkpoint={checkpoint}", f"video={folder}", "device=cpu", "top_k=1"]
    command = [sys.executable, str(project / "scripts" / "predict.py"), *words]
    environment = os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, f"output={output}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
        # Where tests run in the background, SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if output.exists() and output.read_bytes().count(b"\n") > 50:
                break
            time.sleep(0.05)
        os.killpg(process.pid, number)  # as a terminal and SLURM do
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == status, errors
    num_done = len(rows_of(output))
    assert 50 <= num_done < 3000
    assert not (status > 0) or f"{num_done} of 3000 videos are done and in" in errors
    assert "Traceback" not in errors
    for path in (output, tmp_path / f"undisturbed.{suffix}"):
        subprocess.run([*command, f"output={path}"], env=environment, check=True)
    assert output.read_bytes() == path.read_bytes()
    assert [Path(video).name for video in rows_of(output)] == [f"{n:04d}.mp4" for n in range(3000)]
    assert [path for path in tmp_path.iterdir() if "draft" in path.name] == []

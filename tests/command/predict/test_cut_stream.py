"""A real process follows a source that is cut."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from live_sender import LiveSender, pieces

from gcvideo.data import write_video

FPS, NUM_FRAMES, STRIDE_SECONDS = 2, 664, 20


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """332 seconds at two frames a second, as a transport stream."""
    path = tmp_path_factory.mktemp("part") / "part.ts"
    levels = np.where(np.arange(NUM_FRAMES) // 40 % 2, 220, 30).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (NUM_FRAMES, 48, 64, 3))
    write_video(path, np.ascontiguousarray(frames), fps=FPS)
    return path.read_bytes()


def endless(video):
    """A camera that begins again and again, in its own time."""
    for piece in itertools.cycle(pieces(video)):
        yield piece
        time.sleep(0.02)


def rows_of(output):
    """The rows that are on disk, by kind; the last line may be half a row."""
    text = output.read_text() if output.exists() else ""
    rows = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return {
        kind: [row for row in rows if row["kind"] == kind]
        for kind in ("start", "window", "segment", "gap", "end")
    }


@pytest.mark.slow
def test_an_hour_with_ten_cuts_has_each_window_once_and_all_of_them_on_disk(
    checkpoint, project, part, tmp_path
):
    output = tmp_path / "live.jsonl"
    # Ends, and cuts in the middle of a packet.
    parts = [pieces(part[: len(part) - 100 * (number % 2)]) for number in range(10)]
    with LiveSender([*parts, endless(part)]) as sender:
        words = [str(checkpoint), sender.address, f"output={output}", "device=cpu", "top_k=1"]
        process = subprocess.Popen(
            [sys.executable, "-m", "gcvideo.cli", "predict", *words]
            + [f"stride_seconds={STRIDE_SECONDS}", "threshold=0.5"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"},
        )
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                windows = rows_of(output)["window"]
                if windows and windows[-1]["end_seconds"] > 3600:
                    break
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            printed, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    rows = rows_of(output)
    assert output.read_text().endswith("\n")
    gaps, windows = rows["gap"], rows["window"]
    assert len(gaps) == 10
    starts, ends = (
        np.array([window[f"{side}_seconds"] for window in windows]) for side in ("start", "end")
    )
    assert min(np.diff(starts)) > 0
    firsts = [0.0, *(gap["end_seconds"] for gap in gaps)]
    lasts = [*(gap["start_seconds"] for gap in gaps), ends[-1]]
    limits = [*firsts[1:], np.inf]
    for first, last, limit in zip(firsts, lasts, limits, strict=True):
        inside = (starts >= first) & (starts < limit)
        # A window starts with the first frame and at each multiple of the stride, and one ends with the last.
        assert starts[inside][0] == first
        assert last <= ends[inside].max() <= last + 1
        of_stride = np.floor((starts[inside] + 0.1 / FPS) / STRIDE_SECONDS).tolist()
        passed = range(int(first // STRIDE_SECONDS), int((last - 1) // STRIDE_SECONDS) + 1)
        num_windows = [of_stride.count(multiple) for multiple in passed]
        assert set(num_windows[:-1]) == {1}
        assert num_windows[-1] in (1, 2)
    # The screen tells the same windows, the gaps and the numbers.
    (end,) = rows["end"]
    assert (end["windows"], end["gaps"]) == (len(windows), 10)
    assert (end["segments"], end["windows_left_out"]) == (len(rows["segment"]), 0)
    assert end["reason"] == "stopped by SIGTERM"
    lines = printed.splitlines()
    num_rows = sum(len(rows[kind]) for kind in ("window", "segment", "gap", "end"))
    # Before them stand checkpoint and precision, and once a warning of the long stride.
    assert len(lines) == 2 + num_rows + 1
    assert lines[-1].startswith(f"stopped by SIGTERM: {len(windows)} windows, ")
    assert errors.count(" the source is lost: ") == errors.count(" the source is back after ") == 10

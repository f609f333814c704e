import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph

from gcvideo.data.video import _encoding as encoding
from gcvideo.data.video import _orientation as orientation

TASKS = Path("/proc/self/task")


def side_data_filter():
    frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
    frame.pts, frame.time_base = 0, Fraction(1)
    orientation._with_display_matrix_alone(frame)


def sound_filter():
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
    frame.sample_rate, frame.time_base = 22050, Fraction(1, 22050)
    graph = encoding._resampling(frame, "stereo")
    graph.push(frame)
    assert [*encoding._pulled(graph)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_worker_does_not_free_the_garbage_of_its_parent():
    program = """if True:
        import gc, os
        import gcvideo.data.video._container

        class Cycle:
            def __init__(self):
                self.itself = self
            def __del__(self):
                print("freed by", "parent" if os.getpid() == parent else "worker", flush=True)

        parent = os.getpid()
        gc.disable()
        Cycle()
        worker = os.fork()
        gc.collect()
        if not worker:
            Cycle()
            gc.collect()
            os._exit(0)
        os.waitpid(worker, 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    # The worker frees its own cycle, and only that.
    assert sorted(done.stdout.splitlines()) == ["freed by parent", "freed by worker"]


@pytest.mark.skipif(not TASKS.is_dir(), reason="threads are counted by Linux")
@pytest.mark.parametrize(
    ("module", "use_filter"), [(orientation, side_data_filter), (encoding, sound_filter)]
)
def test_filters_have_no_thread_that_a_forked_worker_would_wait_for(
    monkeypatch, module, use_filter
):
    """FFmpeg joins the threads of a graph when it is freed, and a fork does not have them."""
    kept = []

    def kept_graph():
        kept.append(Graph())
        return kept[-1]

    monkeypatch.setattr(module, "Graph", kept_graph)
    before = len([*TASKS.iterdir()])
    use_filter()
    assert kept
    assert len([*TASKS.iterdir()]) == before

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from random_net import magnify_differences, make_classifier, make_protocol

from gcvideo.data import write_video
from gcvideo.data.made._demo import render_motion
from gcvideo.inference._export import export_classifier
from gcvideo.models import slow_resnet

# The checker of shapes would run inside the traces and slow them down.
pytestmark = pytest.mark.usefixtures("unchecked")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "onnx_program.py"


@pytest.mark.slow
def test_the_example_gives_the_scores_of_the_package(tmp_path):
    pytest.importorskip("onnxruntime")
    example = EXAMPLE.read_text(encoding="utf-8")
    assert not re.search(r"gcvideo\.|import (torch|gcvideo)", example)
    frames = render_motion("grow", np.random.default_rng(0), num_frames=40, size=160)
    protocol = make_protocol(num_frames=8, sampling_rate=4, short_side=80, head="adaptive")
    classifier = make_classifier(slow_resnet(num_classes=3, width=4), protocol)
    magnify_differences(classifier, frames[:, :100, :100].copy(), factor=25)
    export_classifier(classifier, tmp_path / "net.onnx")
    for height, width, fps in ((72, 100, 30), (130, 96, 25)):
        video = tmp_path / f"{height}.mp4"
        # Otherwise libx264 may write another file each time.
        options = {"x264-params": "mbtree=0"}
        write_video(video, frames[:, :height, :width].copy(), fps=fps, options=options)
        printed = printed_scores(tmp_path, EXAMPLE, "net.onnx", video.name)
        ranking = classifier.classify(video)
        assert list(printed) == [prediction.name for prediction in ranking]
        assert list(printed.values()) == pytest.approx([p.score for p in ranking], abs=2e-2)
        # Other frames or another crop would be further away.
        for other in (frames[:36, :height, :width], frames[:, : height - 4, : width - 4]):
            scores = classifier.scores(other.copy())
            assert (scores - classifier.scores(video)).abs().max() > 5e-2


def printed_scores(folder, *command):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"},
        check=True,
    )
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    return {name: float(score) for score, name in lines}

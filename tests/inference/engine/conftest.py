import numpy as np
import pytest
from block_sample import stem_and_head
from random_net import make_classifier

from gcvideo.data import write_video


@pytest.fixture(scope="module")
def classifier():
    return make_classifier(stem_and_head("gc", "nl"), val_crop_size=32)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for number in range(8):
        frames = rng.integers(0, 256, (12, 64, 80, 3), dtype=np.uint8)
        write_video(folder / f"{number}.mp4", frames)
    return sorted(map(str, folder.iterdir()))

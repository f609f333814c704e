import contextlib
import io
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gcvideo.run import train

CONF = Path(__file__).resolve().parent.parent.parent / "conf"

# A real I3D R50, narrow, on tiny clips: a run takes seconds.
TINY = [
    "width=4",
    "num_frames=4",
    "short_side=32",
    "max_short_side=40",
    "crop_size=32",
    "num_clips=2",
    "num_crops=1",
    "epochs=1",
    "warmup_epochs=0",
    "batch_size=4",
    "num_workers=0",
    "trainer=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.precision=32-true",
]


def composed(name, overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(overrides))


@pytest.fixture
def compose_config():
    """Compose "train", "test" or "predict" with overrides."""
    return composed


@pytest.fixture(scope="session")
def tiny():
    return TINY


@pytest.fixture(scope="session")
def trained(tmp_path_factory, video_folder):
    """Run folder of a tiny training on two classes of videos, and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    cfg = composed(
        "train",
        [*TINY, "model=i3d_gc", "data=folder", f"data.root={video_folder}", f"output_dir={folder}"],
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        metrics = train(cfg)
    (folder / "printed.txt").write_text(printed.getvalue())
    (folder / "metrics.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(metrics)))
    return folder


@pytest.fixture(scope="session")
def checkpoint(trained):
    return trained / "checkpoints" / "best.ckpt"

import contextlib
import io
from pathlib import Path

import pytest
from gcvideo_runs import TINY
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gcvideo.run import train

CONF = Path(__file__).resolve().parent.parent.parent / "conf"


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

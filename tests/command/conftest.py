import contextlib
import io
import shutil
from pathlib import Path

import pytest
from gcvideo_runs import TINY
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from stopped_training import stop

from gcvideo.command.train._training import train

CONF = Path(__file__).resolve().parents[2] / "conf"


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


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory, tiny, video_folder):
    """The folder of a run of three epochs that was stopped in its last; its second was validated."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    words = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "epochs=3"]
    words += ["batch_size=2", "logger=none", "trainer.gradient_clip_val=1.5"]
    words += ["trainer.limit_train_batches=3", "trainer.check_val_every_n_epoch=2"]
    words += [f"output_dir={folder}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", words)
    stop(cfg, after_epochs=2)
    return folder


@pytest.fixture
def run(stopped_run, tmp_path, video_folder):
    """A copy of it, with videos of its own."""
    folder = shutil.copytree(stopped_run, tmp_path / "moved")
    videos = shutil.copytree(video_folder, tmp_path / "videos")
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace(str(video_folder), str(videos)))
    return folder

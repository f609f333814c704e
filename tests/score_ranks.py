"""Scores of several lists of videos by two ranks, one after the other; a script for each of them."""

import sys
from pathlib import Path

import torch.distributed as dist
from hydra import compose, initialize_config_dir
from rank_job import RANKS
from two_ranks import fork_into_two

from gcvideo.command._testing import test as score

CONF = Path(__file__).resolve().parent.parent / "conf"


def score_words(folder, listed, output):
    """Overrides of a test of what a list names, or of all videos of a folder.

    Args:
        folder: with ``best.ckpt`` and ``videos``.
    """
    data = ["data=folder", f"data.root={folder / 'videos'}", f"data.test={listed}"]
    given = [f"checkpoint={folder / 'best.ckpt'}", *data, f"output_dir={output}"]
    return [*given, "num_workers=0", "report=false", "trainer.enable_progress_bar=false"]


def main():
    folder = Path(sys.argv[1])
    dist.init_process_group("gloo")
    for listed in sorted((folder / "lists").iterdir()):
        words = score_words(folder, listed, folder / "two" / listed.name)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            score(compose("test", [*words, *RANKS]))
    dist.destroy_process_group()


if __name__ == "__main__":
    fork_into_two(main)

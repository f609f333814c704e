"""Small trainings of the demo set by two ranks, one after the other; a script for each of them."""

import sys
import warnings
from pathlib import Path

import torch.distributed as dist
from hydra import compose, initialize_config_dir
from rank_job import RANKS
from two_ranks import fork_into_two

from gcvideo.command.train._training import train

CONF = Path(__file__).resolve().parent.parent / "conf"
BATCH_NORMS = {
    "local": ["batch_norm.mode=local"],
    "sync": ["batch_norm.mode=sync"],
    "precise": ["batch_norm.precise_batches=2"],
    "ema": ["ema=default", "ema.decay=0.5"],
}
# So few clips and so high a rate that the statistics of the ranks differ.
WORDS = [
    *("model=i3d_gc", "width=4", "num_frames=4", "crop_size=32", "short_side=36", *RANKS),
    *("epochs=2", "warmup_epochs=0", "batch_size=2", "lr=0.02", "num_workers=0", "num_threads=1"),
    *("trainer.precision=32-true", "trainer.enable_progress_bar=false", "~logger.tensorboard"),
    *("data.train_per_class=6", "data.val_per_class=6"),
]


def main():
    folder = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo")
    for name, words in BATCH_NORMS.items():
        with initialize_config_dir(str(CONF), version_base="1.3"):
            train(compose("train", [*WORDS, *words, f"output_dir={folder / name}"]))
    dist.destroy_process_group()


if __name__ == "__main__":
    fork_into_two(main)

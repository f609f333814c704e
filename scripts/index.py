"""Make or refresh the frame index of a data set; training and test find it by the folder data.root.

python scripts/index.py data=kinetics400 data.root=/data/k400
python scripts/index.py data=folder data.root=videos num_workers=4
"""

from pathlib import Path

from omegaconf import DictConfig

from gcvideo.run import index, run_script


def main(cfg: DictConfig) -> None:
    """Index; the path is no objective of a sweep."""
    index(cfg)


if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "index", main)

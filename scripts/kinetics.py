"""Lists of "path label" from official Kinetics CSVs and a folder of files, and what is missing.

python scripts/kinetics.py csv=/data/k400/train.csv root=/data/k400 output=lists
python scripts/kinetics.py 'csv=[/data/k400/train.csv,/data/k400/val.csv]' root=/data/k400 output=lists

Files that a check found unreadable are left out with bad=checks/k400/bad_videos.csv. missing.csv has
the columns of the official CSV, so that a downloader can fetch the rest.
"""

from pathlib import Path

from omegaconf import DictConfig

from gcvideo.run import kinetics, run_script


def main(cfg: DictConfig) -> None:
    """Make the lists; the coverage is no objective of a sweep."""
    kinetics(cfg)


if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "kinetics", main)

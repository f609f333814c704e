"""Copy videos to small H.264 files that seek fast, with lists that keep the labels.

python scripts/reencode.py data=folder data.root=videos output=videos_256
python scripts/reencode.py data=kinetics400 data.root=/data/k400 output=/data/k400_320 short_side=320
"""

from pathlib import Path

from omegaconf import DictConfig

from gcvideo.run import reencode, run_script


def main(cfg: DictConfig) -> None:
    """Re-encode, then tell by the exit code whether every video could be."""
    if reencode(cfg):
        raise SystemExit(1)


if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "reencode", main)

"""Decode every video of a data set from end to end; lists without the unreadable ones go to checks/.

python scripts/check.py data=folder data.root=videos
python scripts/check.py data=kinetics400 data.root=/data/k400 num_workers=16 output_dir=checks/k400

A check that was interrupted goes on where it was. Exit code 1 if a video of val or test is unreadable,
or more training videos than data.max_bad_fraction allows. The last line names the lists to train on.
"""

from pathlib import Path

from omegaconf import DictConfig

from gcvideo.run import check, run_script


def main(cfg: DictConfig) -> None:
    """Check, then tell by the exit code whether the videos will do."""
    if check(cfg).problems:
        raise SystemExit(1)


if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "check", main)

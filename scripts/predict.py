"""Classify a file, a folder or a quoted glob of videos; exit code 1 if one could not be read.

python scripts/predict.py checkpoint=runs/RUN/checkpoints/best.ckpt video=clip.mp4
python scripts/predict.py checkpoint=runs/RUN/checkpoints/best.ckpt 'video=clips/*.mp4' output=x.json
"""

from pathlib import Path

from omegaconf import DictConfig

from gcvideo.run import predict, run_script


def main(cfg: DictConfig) -> None:
    """Classify, then tell by the exit code whether all files could be read."""
    _, failures = predict(cfg)
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "predict", main)

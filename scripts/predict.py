"""Classify videos or a live source; exit code 1 if a file could not be read.

python scripts/predict.py checkpoint=runs/RUN/checkpoints/best.ckpt video=clip.mp4
python scripts/predict.py checkpoint=slow_8x8_r50_pytorchvideo 'video=clips/*.mp4' output=x.json
python scripts/predict.py checkpoint=... video=match.mp4 stride_seconds=1 annotated=seen
python scripts/predict.py checkpoint=... video=rtsp://camera/stream
python scripts/predict.py checkpoint=... video=/dev/video0 format=v4l2
"""

from pathlib import Path

from omegaconf import DictConfig

from gcvideo.run import predict, run_script


def main(cfg: DictConfig) -> None:
    """Classify, then tell by the exit code whether all files could be read."""
    if predict(cfg).failures:
        raise SystemExit(1)


if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "predict", main)

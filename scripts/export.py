"""Write a trained net as one file that runs without gcvideo: ONNX or a torch.export program.

python scripts/export.py checkpoint=runs/RUN/checkpoints/best.ckpt output=net.onnx
python scripts/export.py checkpoint=runs/RUN/checkpoints/best.ckpt output=net.pt2 video=clips
"""

from pathlib import Path

from omegaconf import DictConfig

from gcvideo.run import export, run_script


def main(cfg: DictConfig) -> None:
    """Export; the differences are no objective of a sweep."""
    export(cfg)


if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "export", main)

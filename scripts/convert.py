"""Turn weights of another code base into a checkpoint of this one: a single safetensors file.

python scripts/convert.py source=SLOWONLY.pth output=slow.safetensors protocol=mmaction classes=kinetics400
python scripts/convert.py source=i3d_nl_8x8_r50_pyslowfast output=i3d_nl.safetensors
python scripts/convert.py source=resnet50.pth output=slow_inflated.safetensors choice.family=slow
python scripts/convert.py source=RUN/checkpoints/best.ckpt output=best.safetensors

Sources: PyTorchVideo, PySlowFast (.pyth, Caffe2 .pkl), video-nonlocal-net, mmaction2, torchvision's 2-D
ResNets (inflated), GCNet's backbones, and the names of published weights (docs/weights.md).
"""

from pathlib import Path

from omegaconf import DictConfig

from gcvideo.run import convert, run_script


def main(cfg: DictConfig) -> None:
    """Convert; the checkpoint is no objective of a sweep."""
    convert(cfg)


if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "convert", main)

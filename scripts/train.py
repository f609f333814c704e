"""Train a video classifier and leave a run folder under runs/.

python scripts/train.py model=i3d_gc
python scripts/train.py model=slow_nl data=folder data.root=my_videos
"""

from pathlib import Path

from gcvideo.run import run_script, train

if __name__ == "__main__":
    conf = Path(__file__).resolve().parent.parent / "conf"
    run_script(conf, "train", lambda cfg: train(cfg).get("best_val_top1"))

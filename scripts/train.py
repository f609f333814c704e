"""Train a video classifier and leave a run folder under runs/.

python scripts/train.py model=i3d_gc
python scripts/train.py model=slow_nl data=folder data.root=my_videos
"""

from pathlib import Path

from gcvideo.run import run_script, run_training

if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "train", run_training)

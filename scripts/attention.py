"""What the blocks of a checkpoint attend to: query independence in figures, maps in pictures.

python scripts/attention.py stats checkpoint=runs/RUN/checkpoints/last.ckpt
python scripts/attention.py stats checkpoint=... data=folder data.root=videos max_videos=null
python scripts/attention.py stats checkpoint=... videos=clips published=true
python scripts/attention.py show checkpoint=runs/RUN/checkpoints/last.ckpt video=clip.mp4

"stats" leaves its tables under runs/attention/, and exits with 1 if a video could not be read.
"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from gcvideo.run import run_script
from gcvideo.run.attention_show import attention_show
from gcvideo.run.query_independence import attention_stats


def stats(cfg: DictConfig) -> None:
    """Measure, then tell by the exit code whether all videos could be read."""
    if attention_stats(cfg).failures:
        raise SystemExit(1)


def show(cfg: DictConfig) -> None:
    """Draw; the pictures are no objective of a sweep."""
    attention_show(cfg)


if __name__ == "__main__":
    jobs = {"stats": stats, "show": show}
    word = sys.argv.pop(1) if len(sys.argv) > 1 else None
    if word not in jobs:
        given = "is missing" if word is None else f"is '{word}'"
        sys.exit(
            f"error: the first word {given}; say what to do: 'stats' measures query independence, "
            "'show' draws attention maps, such as\n"
            "  python scripts/attention.py stats checkpoint=runs/RUN/checkpoints/last.ckpt"
        )
    conf = Path(__file__).resolve().parent.parent / "conf"
    run_script(conf, f"attention_{word}", jobs[word])

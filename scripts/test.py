"""Score a checkpoint with all views of the protocol; per-video scores go to runs/test/.

python scripts/test.py checkpoint=runs/RUN/checkpoints/best.ckpt
python scripts/test.py checkpoint=runs/RUN/checkpoints/best.ckpt data=folder data.root=videos data.test=test.txt
"""

from pathlib import Path

from gcvideo.run import run_script, test

if __name__ == "__main__":
    conf = Path(__file__).resolve().parent.parent / "conf"
    run_script(conf, "test", lambda cfg: test(cfg).get("test/top1"))

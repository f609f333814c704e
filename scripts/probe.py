"""Score a checkpoint on clips that are shuffled, reversed or frozen: which classes need time?

python scripts/probe.py checkpoint=runs/RUN/checkpoints/last.ckpt
python scripts/probe.py checkpoint=runs/RUN/checkpoints/last.ckpt data=folder data.root=videos num_clips=1

Per class, and per video and probe, the results go to runs/probe/.
"""

from pathlib import Path

from gcvideo.run import run_script
from gcvideo.run.probing import probe

if __name__ == "__main__":
    conf = Path(__file__).resolve().parent.parent / "conf"
    run_script(conf, "probe", lambda cfg: probe(cfg).needs_time)

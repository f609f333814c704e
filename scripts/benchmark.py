"""Time blocks, nets, training steps and whole runs against how others compute the same.

python scripts/benchmark.py                      # blocks, a minute on two cores
python scripts/benchmark.py what=net
python scripts/benchmark.py what=training 'models=[slow,slow_gc,slow_nl]' json=training.json
python scripts/benchmark.py what=end_to_end 'views=[[1,1]]'
python scripts/benchmark.py what=profile 'models=[slow_gc]' figure=profile.png
"""

from pathlib import Path

from gcvideo.run import run_script
from gcvideo.run.benchmarking import benchmark

if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "benchmark", benchmark)

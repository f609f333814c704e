"""Print what nets cost with and without context blocks: parameters and multiply-accumulates.

python scripts/cost.py
python scripts/cost.py models=[slow,slow_gc] crop_sizes=[224] num_frames=8 output=costs
python scripts/cost.py 'models=[slow_nl,"slow_nl model.block.sub_sample=after"]'
"""

from pathlib import Path

from gcvideo.run import run_script
from gcvideo.run.costing import cost

if __name__ == "__main__":
    run_script(Path(__file__).resolve().parent.parent / "conf", "cost", cost)

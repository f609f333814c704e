"""Compare context blocks in one net by one recipe: paired runs, one table, one report.

python scripts/compare.py preset=quick
python scripts/compare.py model=slow block=none,gc,nl seeds=0,1,2 data=folder data.root=videos
"""

import sys
from pathlib import Path

from gcvideo.run import run_comparison

if __name__ == "__main__":
    run_comparison(Path(__file__).resolve().parent.parent / "conf", sys.argv[1:])

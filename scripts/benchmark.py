"""``python scripts/benchmark.py ...`` runs the benchmarks of this clone, which no wheel holds."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).resolve().parent.parent / "benchmarks"), run_name="__main__")

"""``python scripts/benchmark.py ...`` is ``gcvideo benchmark ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("benchmark")

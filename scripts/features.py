"""``python scripts/features.py ...`` is ``gcvideo features ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("features")

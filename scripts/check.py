"""``python scripts/check.py ...`` is ``gcvideo check ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("check")

"""``python scripts/compare.py ...`` is ``gcvideo compare ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("compare")

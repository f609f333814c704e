"""``python scripts/merge.py ...`` is ``gcvideo merge ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("merge")

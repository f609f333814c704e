"""``python scripts/cost.py ...`` is ``gcvideo cost ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("cost")

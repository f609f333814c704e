"""``python scripts/reencode.py ...`` is ``gcvideo reencode ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("reencode")

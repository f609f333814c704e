"""``python scripts/attention.py ...`` is ``gcvideo attention ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("attention")
